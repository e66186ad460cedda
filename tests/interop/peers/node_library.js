// gearmanode with its log silenced; it has to be told so before it is loaded.
const winston = require('winston');

winston.configure({ silent: true });
winston.loggers.options = { silent: true };

exports.gearmanode = require('gearmanode');
