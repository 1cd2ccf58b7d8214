'use strict';

// How the server answers: JSON, always, and errors as {"error", "reason"}; also when the code of a request fails
// where no handler catches it.

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

function sendJson(res, status, body) {
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify(body) + '\n');
}

// Express 4 does not await a handler: a rejection has to reach the error handler by hand.
function handle(handler) {
  return (req, res, next) => Promise.resolve().then(() => handler(req, res, next)).catch(next);
}

// Marks what runs from here on as part of this response, so that lastResort can answer it.
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
  if (res.headersSent) {
    res.destroy();
  } else if (error instanceof URIError) {
    sendJson(res, 400, BAD_PATH);
  } else if (GONE.test(error?.message)) {
    sendJson(res, 404, { error: 'not_found', reason: 'Database does not exist.' });
  } else if (error?.status >= 400) {
    sendJson(res, error.status, describe(error));
  } else {
    log(`${res.req.method} ${res.req.originalUrl}: ${error?.stack ?? error}`);
    sendJson(res, 500, { error: 'internal_server_error', reason: String(error?.message ?? error) });
  }
}

// Express knows an error handler by its four parameters.
function sendError(error, req, res, _next) {
  refuse(error, res);
}

// Answers the request whose code threw outside of its handler, and keeps the server alive.
function lastResort(error) {
  const res = responses.getStore();
  if (res === undefined || res.writableEnded) {
    log(`outside of a request: ${error?.stack ?? error}`);
  } else {
    log(`${res.req.method} ${res.req.originalUrl} (last resort): ${error?.stack ?? error}`);
    refuse(error, res);
  }
}

module.exports = { CouchError, describe, handle, lastResort, log, remember, sendError, sendJson };
