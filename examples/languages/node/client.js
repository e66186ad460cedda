// A client that has a text reversed.
//
//     GEARMAN_SERVERS=host:port node client.js TEXT
const gearman = require('./gearman');

const client = gearman.client();
client.on('socketError', (server, error) => {
  console.error(`client: ${error.message}`);
  process.exit(1);
});

const job = client.submitJob('reverse', process.argv[2] || 'Hello', { toStringEncoding: 'utf8' });
job.on('complete', () => {
  console.log(job.response);
  client.close();
});
job.on('failed', () => {
  console.error('client: the job failed');
  process.exitCode = 1;
  client.close();
});
