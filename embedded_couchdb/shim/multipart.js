'use strict';

// Documents with their attachments as multipart/related, and lists of revisions as multipart/mixed: what CouchDB's
// replicator sends and asks for.
// https://docs.couchdb.org/en/stable/api/document/attachments.html, RFC 2046 section 5.1

const { randomBytes } = require('node:crypto');
const { gunzipSync } = require('node:zlib');
const { parseJson } = require('./body');
const { CouchError } = require('./http');

const LINE_END = '\r\n';
const MAX_ATTACHMENT_BYTES = 256 * 1024 * 1024; // once it is decompressed

function badRequest(reason) {
  return new CouchError(400, 'bad_request', reason);
}

// What `related` makes: the Content-Type and the parts as buffers.
function joined(subtype, parts) {
  const boundary = randomBytes(16).toString('hex');
  const pieces = parts.flatMap(({ headers, body }) => [
    `--${boundary}${LINE_END}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}${LINE_END}`),
    LINE_END, body, LINE_END,
  ]);
  return {
    type: `multipart/${subtype}; boundary="${boundary}"`,
    body: Buffer.concat([...pieces, `--${boundary}--`].map((piece) => Buffer.from(piece))),
  };
}

// A document whose attachments hold their bytes in `data`: a part for the document, and one for each attachment.
function related(doc) {
  const attachments = Object.entries(doc._attachments);
  const stubs = attachments.map(([name, { data, stub, ...rest }]) => [name, { ...rest, length: data.length, follows: true }]);
  const json = JSON.stringify({ ...doc, _attachments: Object.fromEntries(stubs) });
  return joined('related', [
    { headers: { 'Content-Type': 'application/json' }, body: json },
    ...attachments.map(([name, { content_type: type, data }]) => ({
      headers: {
        'Content-Disposition': `attachment; filename="${encodeURIComponent(name)}"`,
        'Content-Type': type,
        'Content-Length': data.length,
      },
      body: data,
    })),
  ]);
}

// Revisions as [{ok: document} or {missing: revision}].
function mixed(revisions) {
  return joined('mixed', revisions.map(({ ok: doc, missing }) => {
    if (doc === undefined) {
      return { headers: { 'Content-Type': 'application/json; error="true"' }, body: JSON.stringify({ missing }) };
    }
    if (doc._attachments === undefined) {
      return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(doc) };
    }
    const { type, body } = related(doc);
    return { headers: { 'Content-Type': type }, body };
  }));
}

function boundaryOf(contentType) {
  const match = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  if (match === null) {
    throw badRequest('The multipart content type has no boundary.');
  }
  return match[1] ?? match[2];
}

// The bodies of the parts, in order.
function split(body, boundary) {
  const delimiter = Buffer.from(`${LINE_END}--${boundary}`);
  const text = Buffer.concat([Buffer.from(LINE_END), body]);
  const parts = [];
  let start = text.indexOf(delimiter);
  for (let end; start !== -1; start = end) {
    start += delimiter.length;
    if (text.toString('latin1', start, start + 2) === '--') {
      return parts;
    }
    end = text.indexOf(delimiter, start);
    const bodyStart = text.indexOf(LINE_END + LINE_END, start);
    if (end === -1 || bodyStart === -1 || bodyStart > end) {
      break;
    }
    parts.push(text.subarray(Math.min(bodyStart + 4, end), end));
  }
  throw badRequest('The multipart body does not end with its boundary.');
}

function decoded(name, attachment, bytes) {
  const { encoding, encoded_length: encodedLength, follows, length, ...rest } = attachment;
  if (bytes === undefined || bytes.length !== (encodedLength ?? length ?? bytes.length)) {
    throw badRequest(`The part of attachment ${name} is missing or has another length than the document says.`);
  }
  if (encoding !== 'gzip') {
    return { ...rest, data: bytes.toString('base64') };
  }
  try {
    return { ...rest, data: gunzipSync(bytes, { maxOutputLength: MAX_ATTACHMENT_BYTES }).toString('base64') };
  } catch (error) {
    throw badRequest(`Attachment ${name} is no gzip: ${error.message}`);
  }
}

// The document of a multipart/related body, with its attachments inline. The attachments that follow come in the
// order in which the document lists them.
function parseRelated(contentType, body) {
  const [json, ...bodies] = split(body, boundaryOf(contentType));
  if (json === undefined) {
    throw badRequest('The multipart body has no document.');
  }
  const doc = parseJson(json);
  if (typeof doc?._attachments !== 'object' || doc._attachments === null) {
    return doc;
  }
  const attachments = Object.entries(doc._attachments).map(([name, attachment]) => (
    [name, attachment?.follows === true ? decoded(name, attachment, bodies.shift()) : attachment]
  ));
  return { ...doc, _attachments: Object.fromEntries(attachments) };
}

function send(res, { type, body }) {
  res.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length }).end(body);
}

module.exports = { mixed, parseRelated, related, send };
