// gearmanode, told to keep its log to itself, and the server from the environment.
const winston = require('winston');

// Without this the library's loggers complain on stderr that nobody reads them.
// It has to come before the library is loaded.
winston.configure({ silent: true });
winston.loggers.options = { silent: true };

const gearmanode = require('gearmanode');

const [host, port] = (process.env.GEARMAN_SERVERS || '127.0.0.1:4730').split(':');

module.exports = {
  client: () => gearmanode.client({ host, port: Number(port) }),
  worker: () => gearmanode.worker({ host, port: Number(port) }),
};
