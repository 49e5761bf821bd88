// @platformatic/kafka, run by node_clients.py. Records are lines of partition 0, their offsets follow one another.
//   platformatic.mjs produce BROKERS TOPIC CODEC FILE     idempotent, acks=all
//   platformatic.mjs consume BROKERS TOPIC COUNT          on standard output
//   platformatic.mjs member BROKERS TOPIC GROUP INSTANCE PROTOCOL     says what members/confluent_member.py says
//   platformatic.mjs admin BROKERS TOPIC PARTITIONS       what it was told, as JSON
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { lines, check } from './text.mjs';

const { Admin, Consumer, Producer } = createRequire(process.env.PENSTOCK_NODE)('@platformatic/kafka');

const LINES_A_BATCH = 2000;

const base = (brokers) => ({ clientId: 'tests', bootstrapBrokers: [brokers], retries: 100, retryDelay: 100 });

async function produce(brokers, topic, codec, path) {
  const producer = new Producer({ ...base(brokers), idempotent: true, autocreateTopics: false });
  const values = lines(fs.readFileSync(path));
  for (let at = 0; at < values.length; at += LINES_A_BATCH) {
    const messages = values.slice(at, at + LINES_A_BATCH).map((value) => ({ topic, partition: 0, value }));
    const { offsets } = await producer.send({ messages, compression: codec, acks: -1 });
    check(offsets.length === 1 && Number(offsets[0].offset) === at, `line ${at} is at ${offsets[0]?.offset}`);
  }
  await producer.close();
}

async function consume(brokers, topic, count) {
  const consumer = new Consumer({ ...base(brokers), groupId: `platformatic-${topic}-${process.pid}` });
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, maxWaitTime: 100 });
  const values = [];
  for await (const { partition, offset, value } of stream) {
    check(partition === 0 && Number(offset) === values.length, `${partition}/${offset} after ${values.length} records`);
    values.push(value);
    if (values.length === Number(count)) break;
  }
  await consumer.close(true);
  process.stdout.write(Buffer.concat(values.flatMap((value) => [value, Buffer.from('\n')])));
}

// Records wait in the stream while the group assigns anew, and the library would commit them whoever has their
// partition by then, back behind that member's position. So only who has kept a partition since commits them.
class Commits {
  #consumer;
  #generation = 0;
  #kept = new Map(); // partition: since which generation it was never another's, and how far it is committed
  #late = new Map(); // partition: its last record of those that came while the group assigned
  #running = new Set();

  constructor(consumer) {
    this.#consumer = consumer;
  }

  partitions() {
    return (this.#consumer.assignments ?? []).flatMap((assignment) => assignment.partitions).sort((a, b) => a - b);
  }

  joined() {
    const { generationId } = this.#consumer;
    const before = generationId === this.#generation + 1 ? this.#kept : new Map();
    this.#kept = new Map(this.partitions().map((partition) =>
      [partition, before.get(partition) ?? { since: generationId, offset: -1n }]));
    this.#generation = generationId;
    for (const message of this.#late.values()) this.add(message);
    this.#late.clear();
  }

  add(message) {
    const { partition, offset, metadata } = message;
    if (!this.#consumer.isActive()) {
      this.#late.set(partition, message);
    } else if (!this.partitions().includes(partition)) {
      this.#kept.delete(partition);
    } else {
      const kept = this.#kept.get(partition) ?? { since: this.#generation, offset: -1n };
      if (metadata.consumer.generationId < kept.since || offset < kept.offset) return;
      this.#kept.set(partition, { ...kept, offset });
      const running = message.commit().catch((problem) => console.log(`error ${problem.message}`))
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  done() {
    return Promise.all(this.#running);
  }
}

async function member(brokers, topic, groupId, instance, groupProtocol) {
  const consumer = new Consumer({ ...base(brokers), groupId, groupProtocol, rebalanceTimeout: 20000,
                                  sessionTimeout: 10000, heartbeatInterval: 500,
                                  ...(instance === '-' ? {} : { groupInstanceId: instance }) });
  const commits = new Commits(consumer);
  let stopping = false;
  let settling = { partitions: '', fetches: 0 }; // how many have ended since those partitions and offsets were taken
  const say = (what) => console.log([what, ...commits.partitions()].join(' '));
  consumer.on('consumer:group:join', () => {
    commits.joined();
    say('assigned');
  });
  process.on('SIGTERM', async () => {
    stopping = true;
    await commits.done();
    await consumer.close(true);
    process.exit(0);
  });
  while (!stopping) { // a stream ends with what went wrong, and so does a broker that is killed
    const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest',
                                            autocommit: false, maxWaitTime: 200 });
    stream.on('data', (message) => {
      if (stopping) return;
      console.log(`${message.partition} ${message.offset} ${message.value}`);
      commits.add(message);
    });
    // The fetch under way at an assignment may bring records of what another one has by then, or such as are fetched
    // again from the group's offsets. Those behind it are as assigned.
    stream.on('offsets', () => { settling.fetches = 0; });
    stream.on('fetch', () => {
      const partitions = commits.partitions().join(' ');
      if (partitions !== settling.partitions) settling = { partitions, fetches: 0 };
      if (++settling.fetches === 2) say('settled');
    });
    await once(stream, 'close').catch((problem) => console.log(`error ${problem.message}`));
  }
}

async function administer(brokers, topic, partitions) {
  const admin = new Admin(base(brokers));
  const [created] = await admin.createTopics({ topics: [topic], partitions: Number(partitions), replicas: 1,
                                               configs: [{ name: 'retention.ms', value: '86400000' }] });
  const listed = await admin.listTopics();
  const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
  const described = metadata.topics.get(topic);
  const [{ configs }] = await admin.describeConfigs({
    resources: [{ resourceType: 2, resourceName: topic, configurationKeys: ['retention.ms'] }] });
  await admin.deleteTopics({ topics: [topic] });
  const left = await admin.listTopics();
  await admin.close();
  return { created: created.name, listed, partitions: described.partitionsCount,
           leaders: described.partitions.map(({ leader }) => leader), retention: configs[0].value, left };
}

const [what, ...words] = process.argv.slice(2);
const said = await { produce, consume, member, admin: administer }[what](...words);
if (said) console.log(JSON.stringify(said));
