// A worker that reverses texts.
//
//     GEARMAN_SERVERS=host:port node worker.js [JOBS]
//
// It ends after JOBS jobs, or never when the number is left out.
const gearman = require('./gearman');

let jobs = process.argv[2] ? Number(process.argv[2]) : Infinity;

const worker = gearman.worker();
worker.on('jobServerError', (server, code, message) => console.error(`worker: ${code}: ${message}`));
worker.on('socketError', (server, error) => {
  console.error(`worker: ${error.message}`);
  process.exit(1);
});

// The payload is a Buffer unless the function asks for text.
worker.addFunction('reverse', (job) => {
  job.workComplete([...job.payload].reverse().join(''));
  if (--jobs === 0) setImmediate(() => worker.close());
}, { toStringEncoding: 'utf8' });
