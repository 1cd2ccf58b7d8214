'use strict';

// Makes the `req` argument of filter and update functions.
// https://docs.couchdb.org/en/stable/json-structure.html#request-object

const { infoOf } = require('./info');
const { uuid } = require('./uuids');

function capitalized(name) {
  return name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

function headersOf(req) {
  const { authorization, cookie, ...headers } = req.headers; // no function sees credentials
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [capitalized(name), value]));
}

function formOf(req, body) {
  const isForm = /^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? '');
  return isForm && typeof body === 'string' ? Object.fromEntries(new URLSearchParams(body)) : {};
}

// A query may hold bytes that are not UTF-8.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// `body` is the request's body as text or as parsed JSON, `path` the decoded segments of its path.
async function requestObject(req, { body = 'undefined', id = null, path }) {
  const segments = path ?? req.path.split('/').slice(1).map(decodeURIComponent);
  return {
    info: await infoOf(req.database),
    uuid: uuid(),
    id,
    method: req.method,
    requested_path: req.originalUrl.split('/').slice(1).map(decoded),
    path: segments,
    raw_path: req.originalUrl,
    query: { ...req.query },
    headers: headersOf(req),
    body,
    peer: req.socket.remoteAddress,
    form: formOf(req, body),
    cookie: {},
    userCtx: { db: req.database.name, ...req.userCtx },
    secObj: req.database.security,
  };
}

module.exports = { requestObject };
