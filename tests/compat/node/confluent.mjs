// @confluentinc/kafka-javascript, run by node_clients.py: platformatic.mjs has the words.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { lines, check } from './text.mjs';

const { KafkaJS } = createRequire(process.env.PENSTOCK_NODE)('@confluentinc/kafka-javascript');

const LINES_A_BATCH = 5000;

const client = (brokers) => new KafkaJS.Kafka({ kafkaJS: { clientId: 'tests', brokers: [brokers],
                                                           logLevel: KafkaJS.logLevel.NOTHING } });

async function produce(brokers, topic, codec, path) {
  const producer = client(brokers).producer({ 'linger.ms': 20, 'allow.auto.create.topics': false,
                                              kafkaJS: { idempotent: true, acks: -1, compression: codec } });
  await producer.connect();
  const values = lines(fs.readFileSync(path));
  for (let at = 0; at < values.length; at += LINES_A_BATCH) {
    const messages = values.slice(at, at + LINES_A_BATCH).map((value) => ({ partition: 0, value }));
    const [{ baseOffset }] = await producer.send({ topic, messages });
    check(Number(baseOffset) === at, `line ${at} is at ${baseOffset}`);
  }
  await producer.disconnect();
}

function read(consumer, count) {
  const values = [];
  return new Promise((resolve, reject) => {
    consumer.run({
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        for (const { offset, value } of batch.messages) {
          if (values.length === count) return;
          if (batch.partition !== 0 || Number(offset) !== values.length) {
            reject(new Error(`${batch.partition}/${offset} after ${values.length} records`));
            return;
          }
          values.push(value);
          if (values.length === count) resolve(values);
        }
      },
    }).catch(reject);
  });
}

async function consume(brokers, topic, count) {
  const consumer = client(brokers).consumer({ 'js.consumer.max.batch.size': -1, kafkaJS: {
    groupId: `confluent-${topic}-${process.pid}`, fromBeginning: true, autoCommit: false } });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  const values = await read(consumer, Number(count));
  await consumer.disconnect();
  process.stdout.write(Buffer.concat(values.flatMap((value) => [value, Buffer.from('\n')])));
}

async function member(brokers, topic, groupId, instance, protocol) {
  const classic = { 'session.timeout.ms': 10000, 'heartbeat.interval.ms': 500 };
  let owned = new Set();
  const consumer = client(brokers).consumer({
    'group.id': groupId, 'auto.offset.reset': 'earliest', 'enable.auto.commit': false, 'group.protocol': protocol,
    ...(protocol === 'classic' ? classic : {}),
    rebalance_cb: (error, partitions) => {
      const given = error.code === KafkaJS.ErrorCodes.ERR__ASSIGN_PARTITIONS;
      for (const { partition } of partitions) given ? owned.add(partition) : owned.delete(partition);
      if (given) console.log(['assigned', ...[...owned].sort((a, b) => a - b)].join(' '));
    } });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  process.on('SIGTERM', async () => {
    await consumer.disconnect();
    process.exit(0);
  });
  await consumer.run({
    eachMessage: async ({ partition, message: { offset, value } }) => {
      console.log(`${partition} ${offset} ${value}`);
      await consumer.commitOffsets([{ topic, partition, offset: String(Number(offset) + 1) }])
        .catch((problem) => console.log(`error ${problem.message}`));
    },
  });
}

async function administer(brokers, topic, partitions) {
  const admin = client(brokers).admin();
  await admin.connect();
  const created = await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions),
    replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '86400000' }] }] });
  const listed = await admin.listTopics();
  const [described] = await admin.fetchTopicMetadata({ topics: [topic] });
  await admin.deleteTopics({ topics: [topic] });
  const left = await admin.listTopics();
  await admin.disconnect();
  return { created: created && described.name, listed, partitions: described.partitions.length,
           leaders: described.partitions.map(({ leader }) => leader), left };
}

const [what, ...words] = process.argv.slice(2);
const said = await { produce, consume, member, admin: administer }[what](...words);
if (said) console.log(JSON.stringify(said));
