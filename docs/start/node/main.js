// Produces a hundred records, reads them as a group, commits, rewinds, reads them again.
//
//   node main.js 127.0.0.1:9600 path/to/proto
'use strict';
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const [address, protos] = process.argv.slice(2);
const GROUP = 'start-node';
const TOPIC = { name: 'start-node' };

// 64-bit integers as strings: a JavaScript number is exact only up to 2^53, and these may be larger.
// Without `defaults` an absent field stays undefined, so that null and empty can be told apart.
const files = ['topics', 'data', 'groups'].map((name) => `logd_proto/v1/${name}.proto`);
const definition = protoLoader.loadSync(files, { includeDirs: [protos], keepCase: true, longs: String, arrays: true });
const { logd } = grpc.loadPackageDefinition(definition);

function client(service) {
  const options = { 'grpc.enable_http_proxy': 0, 'grpc.max_receive_message_length': 80 << 20 };
  const stub = new logd.v1[service](address, grpc.credentials.createInsecure(), options);
  return (method, request) =>
    promisify(stub[method]).call(stub, request, new grpc.Metadata(), { deadline: Date.now() + 30_000 });
}
const topics = client('TopicService');
const data = client('DataService');
const groups = client('GroupService');

function checkEntry(entry) {
  if (entry.error) throw new Error(`${entry.error.reason}: ${entry.error.message}`);
  return entry;
}

// Each record gets a receipt, in the order of the request; one that failed has an error there, and
// the others are kept all the same.
async function produce() {
  const records = Array.from({ length: 100 }, (_, n) => ({ key: Buffer.from(`key-${n}`), value: Buffer.from(`value-${n}`) }));
  const { receipts } = await data('Produce', { topic: TOPIC, records });
  receipts.forEach(checkEntry);
}

// The next offset to read of each partition, '0' where nothing was committed yet, and the group's
// rewind epoch: a commit that carries an older one is refused as GROUP_REWOUND, since its positions
// are from before the rewind.
async function committed() {
  const answer = await groups('FetchOffsets', { group: GROUP, topics: [{ topic: TOPIC }] });
  const positions = new Map(answer.offsets.map((each) => [each.partition ?? 0, each.offset ?? '0']));
  return [positions, answer.rewind_epoch];
}

// Reads until nothing more comes, moves the positions on, and counts the records.
async function read(positions) {
  for (let count = 0; ; ) {
    const before = count;
    const asked = Array.from(positions, ([partition, offset]) => ({ partition, offset }));
    const { results } = await data('Fetch', { topic: TOPIC, positions: asked, min_bytes: 1, max_wait_ms: 200 });
    for (const result of results.map(checkEntry)) {
      count += result.records.length;
      positions.set(result.partition ?? 0, result.next_offset ?? '0'); // not the last record's offset + 1
    }
    if (count === before) return count;
  }
}

async function commit(positions, rewind_epoch) {
  const offsets = Array.from(positions, ([partition, offset]) => ({ partition, offset }));
  const request = { group: GROUP, topic: TOPIC, consumer_id: 'worker-1', offsets, rewind_epoch };
  const { results } = await groups('CommitOffsets', request);
  results.forEach(checkEntry);
}

async function main() {
  await topics('CreateTopic', { name: TOPIC.name, partitions: 4 }).catch((error) => {
    if (error.code !== grpc.status.ALREADY_EXISTS) throw error;
  });
  await produce();
  const [positions, rewindEpoch] = await committed();
  console.log('read', await read(positions));
  await commit(positions, rewindEpoch);
  await groups('ResetOffsets', { group: GROUP, position: { earliest: true } });
  const [rewound] = await committed();
  console.log('read again', await read(rewound));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
