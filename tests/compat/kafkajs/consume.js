// The first COUNT records of partition 0 on standard output, one a line, run by text_matrix.py:
//   node consume.js BROKERS TOPIC COUNT
// As a group of its own, from the beginning; fails if offsets do not follow one another.
'use strict';

const { Kafka, logLevel } = require(process.env.PENSTOCK_KAFKAJS);

function read(consumer, count) {
  return new Promise((resolve, reject) => {
    let next = 0;
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const lines = [];
        for (const { offset, value } of batch.messages) {
          if (next === count) break;
          if (batch.partition !== 0 || Number(offset) !== next) {
            reject(new Error(`offset ${offset} of partition ${batch.partition} came instead of ${next} of 0`));
            return;
          }
          lines.push(value, Buffer.from('\n'));
          next += 1;
        }
        process.stdout.write(Buffer.concat(lines));
        if (next === count) resolve();
      },
    }).catch(reject);
  });
}

async function consume(brokers, topic, count) {
  const kafka = new Kafka({ clientId: 'tests', brokers: [brokers], logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: `reads-${topic}`, allowAutoTopicCreation: false });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await read(consumer, Number(count));
  await consumer.disconnect();
}

consume(...process.argv.slice(2)).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
