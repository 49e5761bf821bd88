// A text through kafkajs, one record a line, run by text_matrix.py:
//   node produce.js BROKERS TOPIC CODEC FILE          CODEC: none or gzip, which need no plug-in
'use strict';

const fs = require('fs');
const { Kafka, CompressionTypes, logLevel } = require(process.env.PENSTOCK_KAFKAJS);

const LINES_A_BATCH = 5000;

async function produce(brokers, topic, codec, path) {
  const lines = fs.readFileSync(path, 'utf8').split('\n');
  lines.pop(); // what stands behind the last line's end
  const kafka = new Kafka({ clientId: 'tests', brokers: [brokers], logLevel: logLevel.ERROR });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  const compression = codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None;
  await producer.connect();
  for (let at = 0; at < lines.length; at += LINES_A_BATCH) {
    const messages = lines.slice(at, at + LINES_A_BATCH).map((value) => ({ value, partition: 0 }));
    const [answer] = await producer.send({ topic, compression, acks: -1, messages });
    if (Number(answer.baseOffset) !== at) {
      throw new Error(`line ${at} was acknowledged at offset ${answer.baseOffset}`);
    }
  }
  await producer.disconnect();
}

produce(...process.argv.slice(2)).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
