// A member of a group through kafkajs, run by groups.py as confluent_member.py, and says the same.
'use strict';

const { Kafka, logLevel } = require(process.env.PENSTOCK_KAFKAJS);

async function main(brokers, topic, groupId) {
  const kafka = new Kafka({ clientId: 'tests', brokers: [brokers], logLevel: logLevel.NOTHING,
                            retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 100 } });
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 500, metadataMaxAge: 2000,
                                    rebalanceTimeout: 20000, allowAutoTopicCreation: false });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    console.log(['assigned', ...(payload.memberAssignment[topic] || [])].join(' '));
  });
  process.on('SIGTERM', async () => {
    await consumer.disconnect();
    process.exit(0);
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachBatchAutoResolve: false,
    autoCommitThreshold: 1,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) break;
        console.log(`${batch.partition} ${message.offset} ${message.value}`);
        resolveOffset(message.offset);
      }
      await commitOffsetsIfNecessary();
      await heartbeat();
    },
  });
}

main(...process.argv.slice(2)).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
