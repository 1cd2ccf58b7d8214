'use strict';

// What every part of the shim says to its caller: JSON, always, and errors as {"error", "reason"}.

class CouchError extends Error {
  constructor(status, name, reason) {
    super(reason);
    this.status = status;
    this.name = name;
  }
}

function sendJson(res, status, body) {
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify(body) + '\n');
}

// Express 4 knows no promises: a rejected handler has to reach the error handler by hand.
function handle(handler) {
  return (req, res, next) => Promise.resolve().then(() => handler(req, res, next)).catch(next);
}

function describe(error) {
  return { error: error.name, reason: error.reason || error.message };
}

// Express tells an error handler by its four parameters.
function sendError(error, req, res, _next) {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  if (error.status >= 400) {
    sendJson(res, error.status, error instanceof URIError ? badPath : describe(error));
    return;
  }
  process.stderr.write(`${req.method} ${req.path}: ${error.stack || error}\n`);
  sendJson(res, 500, { error: 'internal_server_error', reason: String(error.message || error) });
}

const badPath = { error: 'bad_request', reason: 'The path is not valid percent-encoded UTF-8.' };

module.exports = { CouchError, describe, handle, sendError, sendJson };
