// kafkajs: producer, group consumer, admin. argv: HOST:PORT.
const { Kafka, logLevel } = require('kafkajs');

async function main(broker) {
  const kafka = new Kafka({ clientId: 'golden', brokers: [broker], logLevel: logLevel.ERROR });
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  await producer.send({ topic: 'golden', messages: [{ key: 'key', value: 'value', headers: { name: 'text' } }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: 'golden-group' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'golden', fromBeginning: true });
  await consumer.run({ autoCommitThreshold: 1, eachMessage: async () => {} });
  await new Promise((resolve) => setTimeout(resolve, 5000));
  await consumer.disconnect();
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 1, replicationFactor: 1 }] });
  await admin.fetchTopicOffsets('golden');
  await admin.describeCluster();
  await admin.listGroups();
  await admin.describeGroups(['golden-group']);
  await admin.describeConfigs({ resources: [{ type: 2, name: 'golden' }] });
  await admin.deleteTopics({ topics: ['made'] });
  await admin.disconnect();
}

main(process.argv[2]).catch((error) => { console.error(error.message); process.exit(1); });
