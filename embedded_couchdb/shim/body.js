'use strict';

// Reads JSON bodies. CouchDB refuses another media type (415), malformed JSON, numbers beyond a double and lone
// surrogates (400), and documents of more than 8,000,000 bytes (413, [couchdb] max_document_size).

const { CouchError, handle } = require('./http');

const MAX_DOCUMENT_BYTES = 8_000_000;
// CouchDB takes 4 GB. Here a body of small arrays needs many times its size once it is parsed.
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
const MAX_DEPTH = 3000; // PouchDB's recursive functions fail from about 4,000 levels on
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
    throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
  }
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      refuseUnstorable(key);
      refuseUnstorable(member);
    }
  }
}

// Returns how deep a JSON text nests. A loop, because recursion is what fails on such a text.
function depthOf(text) {
  let deepest = 0;
  let depth = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (isInString && character === '\\') {
      index += 1;
    } else if (character === '"') {
      isInString = !isInString;
    } else if (!isInString && (character === '[' || character === '{')) {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (!isInString && (character === ']' || character === '}')) {
      depth -= 1;
    }
  }
  return deepest;
}

function parseJson(body) {
  let value;
  let text;
  try {
    text = typeof body === 'string' ? body : utf8.decode(body);
    value = JSON.parse(text);
  } catch {
    throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
  }
  if (text.length > 2 * MAX_DEPTH && depthOf(text) > MAX_DEPTH) {
    throw new CouchError(400, 'bad_request', `The stand-in takes JSON of at most ${MAX_DEPTH} levels`);
  }
  if (mayHoldUnstorable(text)) {
    refuseUnstorable(value);
  }
  return value;
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
