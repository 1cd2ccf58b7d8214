'use strict';

// Multipart bodies, which CouchDB's replicator sends and asks for: a document with its attachments as
// multipart/related, a list of revisions as multipart/mixed.
// https://docs.couchdb.org/en/stable/api/document/attachments.html, RFC 2046 section 5.1

const { randomBytes } = require('node:crypto');
const { gunzipSync } = require('node:zlib');
const { parseJson } = require('./body');
const { CouchError } = require('./http');

const LINE_END = '\r\n';
const MAX_ATTACHMENT_BYTES = 256 * 1024 * 1024; // after decompression

function badRequest(reason) {
  return new CouchError(400, 'bad_request', reason);
}

// Joins parts into {type, body}: the Content-Type and the bytes.
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

// Encodes a document whose attachments have their bytes in `data`: one part for it, and one for each attachment.
function related(doc) {
  const attachments = Object.entries(doc._attachments);
  const stubs = attachments.map(([name, { data, ...rest }]) => (
    [name, { ...rest, length: data.length, follows: true }]
  ));
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

// Encodes a list of {ok: document} or {missing: revision}.
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

// Returns the bodies of the parts, in order.
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

// Decodes a multipart/related body to a document with its attachments inline. The parts of the attachments come in
// the order in which the document lists them.
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
