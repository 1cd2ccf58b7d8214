'use strict';

// Reads JSON bodies. CouchDB refuses another media type (415), malformed JSON, numbers beyond a double and lone
// surrogates (400), and documents of more than 8,000,000 bytes (413, [couchdb] max_document_size).

const { CouchError, handle } = require('./http');

const MAX_DOCUMENT_BYTES = 8_000_000;
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
const MAX_DEPTH = 3000; // PouchDB's recursive functions fail from about 4,000 levels on
const MAX_CONTAINERS = 1_000_000;
const [QUOTE, BACKSLASH, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = Buffer.from('"\\[]{}');
const utf8 = new TextDecoder('utf-8', { fatal: true });

function readBody(req) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    req.on('data', (chunk) => {
      size += chunk.length;
      if (size > MAX_REQUEST_BYTES) {
        reject(new CouchError(413, 'too_large', 'the request entity is too large'));
        chunks.length = 0;
      } else {
        chunks.push(chunk);
      }
    });
    req.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    req.on('error', reject);
  });
}

function mayHoldUnstorable(text) {
  return /\d[eE]|\d{309}|\\u[dD][89a-fA-F]/.test(text);
}

function refuseUnstorable(value) {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new SyntaxError('number out of range');
  }
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw new SyntaxError('lone surrogate');
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      refuseUnstorable(key);
      refuseUnstorable(member);
    }
  }
}

// Refuses JSON that would exhaust the stack or the memory. It runs before the parser does.
function refuseHuge(bytes) {
  let containers = 0;
  let depth = 0;
  let isInString = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === QUOTE) {
      isInString = !isInString;
    } else if (isInString) {
      index += byte === BACKSLASH ? 1 : 0;
    } else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      containers += 1;
      depth += 1;
      if (depth > MAX_DEPTH || containers > MAX_CONTAINERS) {
        throw new CouchError(413, 'too_large',
          `The stand-in takes JSON of at most ${MAX_DEPTH} levels and ${MAX_CONTAINERS} arrays and objects`);
      }
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) {
      depth -= 1;
    }
  }
}

function parseJson(body) {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  if (bytes.length > MAX_DEPTH) {
    refuseHuge(bytes);
  }
  try {
    const text = utf8.decode(bytes);
    const value = JSON.parse(text);
    if (mayHoldUnstorable(text)) {
      refuseUnstorable(value);
    }
    return value;
  } catch {
    throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
  }
}

function requireJsonType(req, res, next) {
  if (!/^application\/json\s*(;|$)/i.test(req.headers['content-type'] || '')) {
    throw new CouchError(415, 'bad_content_type', 'Content-Type must be application/json');
  }
  next();
}

const jsonBody = handle(async (req, res, next) => {
  if (req.bodyBytes !== undefined) { // an earlier handler has read it
    next();
    return;
  }
  const buffer = await readBody(req);
  // Each route decides about an empty body: _compact accepts one, a document must not be empty.
  req.body = buffer.length === 0 ? undefined : parseJson(buffer);
  req.bodyBytes = buffer.length;
  next();
});

function jsonObject(req) {
  if (req.body === undefined) {
    throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
  }
  if (typeof req.body !== 'object' || req.body === null || Array.isArray(req.body)) {
    throw new CouchError(400, 'bad_request', 'Request body must be a JSON object');
  }
  return req.body;
}

// The limit does not count attachments.
function refuseLarge({ _attachments, ...doc }, requestBytes) {
  if (requestBytes > MAX_DOCUMENT_BYTES && Buffer.byteLength(JSON.stringify(doc)) > MAX_DOCUMENT_BYTES) {
    throw new CouchError(413, 'document_too_large', String(doc._id));
  }
}

module.exports = { jsonBody, jsonObject, parseJson, readBody, refuseLarge, requireJsonType };
