// The client of the interoperability tests, with gearmanode: node_client.js HOST PORT JOB...
// How a JOB is written and what is printed is told in __init__.py beside this file.
const fs = require('fs');
const { gearmanode } = require('./node_library');

const [host, port, ...rest] = process.argv.slice(2);

const client = gearmanode.client({ host, port: Number(port) });
client.on('jobServerError', (server, code, message) => console.error(`${code}: ${message}`));
client.on('socketError', (server, error) => console.error(error.message));
client.on('socketDisconnect', () => process.exit(1));
client.jobServers[0].setOption('exceptions');

const jobs = [];
while (rest.length > 0) {
  jobs.push(rest.splice(0, 4));
}
let unfinished = jobs.length;
jobs.forEach(([mode, name, unique, file], number) => {
  const tell = (...words) => console.log(number, ...words);
  const finish = (...words) => {
    tell(...words);
    if (--unfinished === 0) process.exit(0);
  };
  const background = /background|poll/.test(mode);
  const options = { background, priority: (/high|low/.exec(mode) || ['normal'])[0].toUpperCase() };
  if (unique) options.unique = unique;

  const job = client.submitJob(name, fs.readFileSync(file), options);
  job.on('created', () => {
    tell('created', job.handle);
    if (mode === 'poll') {
      job.getStatus();
    } else if (background && --unfinished === 0) {
      process.exit(0);
    }
  });
  job.on('workData', (data) => tell('data', data.toString('hex')));
  job.on('warning', (data) => tell('warning', data.toString('hex')));
  job.on('exception', (data) => finish('exception', data.toString('hex')));
  job.on('failed', () => finish('fail'));
  job.on('complete', () => finish('complete', job.response.toString('hex')));
  let last = '';
  job.on('status', ({ known, running, percent_done_num: numerator, percent_done_den: denominator }) => {
    if (!background) {
      tell('status', numerator, denominator);
      return;
    }
    const line = [Number(known), Number(running), numerator, denominator].join(' ');
    if (line !== last) tell('polled', line);
    last = line;
    if (known) {
      setTimeout(() => job.getStatus(), 5);
    } else if (--unfinished === 0) {
      process.exit(0);
    }
  });
});
