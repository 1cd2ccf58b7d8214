'use strict';

// A server whose code throws where no handler catches it: node last_resort.js

const http = require('node:http');
const express = require('express');
const { lastResort, remember, sendJson } = require('../shim/http');

process.on('uncaughtException', lastResort);
process.on('unhandledRejection', lastResort);
process.stdin.on('end', () => process.exit()).resume();

const app = express();
app.use(remember);
app.get('/callback', () => setTimeout(() => { throw new TypeError('in a callback'); }));
app.get('/promise', () => { Promise.reject(new Error('in a promise')); });
app.get('/null', () => { Promise.reject(null); });
app.get('/begun', (req, res) => {
  res.write('{');
  setTimeout(() => { throw new Error('after it began'); });
});
app.get('/', (req, res) => sendJson(res, 200, { ok: true }));

const server = http.createServer(app).listen(0, '127.0.0.1', () => {
  process.stdout.write(`${server.address().port}\n`);
});
