// Loaded before a server that listens on all interfaces and keeps no log: it listens on loopback, says where, and each
// request body that reaches it is appended to the file WATCHED.

const { appendFileSync } = require('node:fs');
const http = require('node:http');
const net = require('node:net');

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  this.once('listening', () => appendFileSync(process.env.WATCHED, `listening ${this.address().port}\n`));
  return listen.call(this, Number(port), '127.0.0.1', ...rest.filter((one) => typeof one === 'function'));
};

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, ...rest) {
  if (event === 'request') {
    const push = request.push;
    request.push = function (chunk, encoding) {
      if (chunk) appendFileSync(process.env.WATCHED, `${chunk}\n`);
      return push.call(this, chunk, encoding);
    };
  }
  return emit.call(this, event, request, ...rest);
};
