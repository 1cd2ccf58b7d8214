'use strict';

// Answers in JSON, errors as {"error", "reason"}, including the errors that no handler catches.

const { AsyncLocalStorage } = require('node:async_hooks');

const responses = new AsyncLocalStorage();
const BAD_PATH = { error: 'bad_request', reason: 'The path is not valid percent-encoded UTF-8.' };
const GONE = /^database is (destroyed|closed)|^Database is not open/;

class CouchError extends Error {
  constructor(status, name, reason) {
    super(typeof reason === 'string' ? reason : JSON.stringify(reason));
    this.status = status;
    this.name = name;
    this.reason = reason;
  }
}

function noDatabase() {
  return new CouchError(404, 'not_found', 'Database does not exist.');
}

function sendJson(res, status, body) {
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify(body) + '\n');
}

// Express 4 does not await handlers: this passes a rejection to the error handler.
function handle(handler) {
  return (req, res, next) => Promise.resolve().then(() => handler(req, res, next)).catch(next);
}

// Remembers which response the code that follows works on, for lastResort.
function remember(req, res, next) {
  responses.run(res, next);
}

function describe(error) {
  return { error: error.name, reason: error.reason ?? error.message };
}

function log(message) {
  process.stderr.write(`${message}\n`);
}

function refuse(error, res) {
  if (res.writableEnded) {
    return; // what is still at work for a request that has its answer
  }
  if (res.headersSent) {
    res.destroy();
  } else if (error instanceof URIError) {
    sendJson(res, 400, BAD_PATH);
  } else if (GONE.test(error?.message)) {
    sendJson(res, 404, describe(noDatabase()));
  } else if (error?.status >= 400) {
    sendJson(res, error.status, describe(error));
  } else {
    log(`${res.req.method} ${res.req.originalUrl}: ${error?.stack ?? error}`);
    sendJson(res, 500, { error: 'internal_server_error', reason: String(error?.message ?? error) });
  }
}

// Express recognizes an error handler by its four parameters.
function sendError(error, req, res, _next) {
  refuse(error, res);
}

// Handles an error that no handler caught: answers its request, logs it, and lets the server live.
function lastResort(error) {
  const res = responses.getStore();
  if (res === undefined || res.writableEnded) {
    log(`outside of a request: ${error?.stack ?? error}`);
  } else {
    log(`${res.req.method} ${res.req.originalUrl} (last resort): ${error?.stack ?? error}`);
    refuse(error, res);
  }
}

module.exports = {
  CouchError, describe, handle, lastResort, log, noDatabase, refuse, remember, sendError, sendJson,
};
