// The worker of the interoperability tests, with gearmanode: node_worker.js HOST PORT PREFIX
// What each function does is written in __init__.py beside this file.
const fs = require('fs');
const { gearmanode } = require('./node_library');

const [host, port, prefix] = process.argv.slice(2);

// Note the name in PATH.log, then wait until PATH.open is there. The whole process waits, since gearmanode
// may have asked for a further job already: it sends a PRE_SLEEP for each function.
function passGate(job) {
  const [path, name] = job.payload.toString().split(' ');
  fs.appendFileSync(`${path}.log`, `${name}\n`);
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; !fs.existsSync(`${path}.open`) && tries < 4000; tries++) {
    Atomics.wait(never, 0, 0, 5);
  }
}

const functions = {
  // workComplete() calls toString() on what it is given, which would damage bytes that are no UTF-8.
  reverse: (job) => job.workComplete({ toString: () => Buffer.from(job.payload).reverse() }),
  fail: (job) => job.reportError(),
  raise: (job) => job.reportException(job.payload),
  chunks: (job) => {
    job.payload.toString().match(/.*\n/g).forEach((line) => job.sendWorkData(line));
    job.workComplete('done');
  },
  warn: (job) => {
    job.reportWarning(job.payload);
    job.workComplete('done');
  },
  gate: (job) => {
    passGate(job);
    job.workComplete('done');
  },
  progress: (job) => {
    job.reportStatus(1, 2);
    passGate(job);
    job.reportStatus(2, 2);
    job.workComplete('done');
  },
  die: (job) => {
    try {
      fs.closeSync(fs.openSync(job.payload.toString(), 'wx'));
    } catch {
      job.workComplete('survived');
      return;
    }
    process.kill(process.pid, 'SIGKILL');
  },
};

const worker = gearmanode.worker({ host, port: Number(port) });
worker.on('jobServerError', (server, code, message) => console.error(`${code}: ${message}`));
worker.on('socketError', (server, error) => console.error(error.message));
worker.on('socketDisconnect', () => process.exit(1));
for (const [name, run] of Object.entries(functions)) {
  worker.addFunction(prefix + name, run);
}
