'use strict';

// The CouchDB stand-in: node server.js --port PORT --folder FOLDER
//
// Credentials come from COUCHDB_USER and COUCHDB_PASSWORD. Once it answers requests, it prints {"url", "pid"} in one
// line. It listens on 127.0.0.1 only, because design documents are programs. It ends when its standard input closes,
// so it ends with the process that started it.

const http = require('node:http');
const path = require('node:path');
const { parseArgs } = require('node:util');

const HOST = '127.0.0.1';
const KEEP_ALIVE_MS = 300_000;
const DRAIN_MS = 1_000;

class UsageError extends Error {}

function settings() {
  const { values } = parseArgs({ options: { port: { type: 'string' }, folder: { type: 'string' } } });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port ?? '') || port > 65535) {
    throw new UsageError('--port must be a number from 0 (any free port) to 65535.');
  }
  if (!values.folder) {
    throw new UsageError('--folder must name the folder that holds the databases.');
  }
  const { COUCHDB_USER: user, COUCHDB_PASSWORD: password } = process.env;
  if (!user || !password) {
    throw new UsageError('COUCHDB_USER and COUCHDB_PASSWORD must be set: there is no CouchDB without an administrator.');
  }
  return { port, folder: path.resolve(values.folder), credentials: { user, password } };
}

function listen(app, port) {
  const server = http.createServer(app);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => resolve(server));
  });
}

function endWith(server) {
  const end = () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), DRAIN_MS);
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
  process.stdin.on('end', end).on('error', end).resume();
}

async function main() {
  const { port, folder, credentials } = settings();
  // Loaded late, so that a wrong option is reported at once.
  const { lockFolder } = require('./shim/lock');
  const { createApp } = require('./shim/app');
  const { lastResort } = require('./shim/http');
  const lock = await lockFolder(folder);
  const server = await listen(await createApp(folder, credentials), port);
  server.folderLock = lock; // held, and kept from the garbage collector, for as long as the server lives
  process.on('uncaughtException', lastResort);
  process.on('unhandledRejection', lastResort);
  endWith(server);
  process.stdout.write(`${JSON.stringify({ url: `http://${HOST}:${server.address().port}`, pid: process.pid })}\n`);
}

function inOneLine(error) {
  if (error.code === 'EADDRINUSE') {
    return `Port ${error.port} is in use: choose another one with --port.`;
  }
  return error.message;
}

main().catch((error) => {
  process.stderr.write(`${inOneLine(error)}\n`);
  process.exit(1);
});
