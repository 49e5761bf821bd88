// @platformatic/kafka, which speaks flexible versions only: producer, group consumer, admin. argv: HOST:PORT.
import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka';

const base = { clientId: 'golden', bootstrapBrokers: [process.argv[2]], retries: 1 };

const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true });
await producer.send({ messages: [{ topic: 'golden', key: 'key', value: 'value', headers: { name: 'text' } }] });
await producer.close();

const consumer = new Consumer({ ...base, groupId: 'golden-group', deserializers: stringDeserializers });
const stream = await consumer.consume({ topics: ['golden'], mode: 'earliest', autocommit: true, maxWaitTime: 500 });
stream.on('data', () => {});
await new Promise((resolve) => setTimeout(resolve, 3000));
await consumer.close(true);

const admin = new Admin(base);
const ask = async (what, call) => {
  try {
    await call();
  } catch (error) {
    console.log(what, error.message); // the broker is of cardboard
  }
};
await ask('create', () => admin.createTopics({ topics: ['made'], partitions: 1, replicas: 1 }));
await ask('groups', () => admin.listGroups());
await ask('group', () => admin.describeGroups({ groups: ['golden-group'] }));
await ask('delete', () => admin.deleteTopics({ topics: ['made'] }));
await admin.close();
