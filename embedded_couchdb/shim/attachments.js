'use strict';

// Reads and writes single attachments. A write changes the document, so it names the revision that it replaces (in
// ?rev= or If-Match) and is validated.
// https://docs.couchdb.org/en/stable/api/document/attachments.html

const { gunzipSync } = require('node:zlib');
const { readBody } = require('./body');
const {
  checkAttachmentName, checkDocument, checkedRevision, documentId, revisionOf, writeOne,
} = require('./documents');
const { CouchError, handle, sendJson } = require('./http');

const PATHS = ['/:db/:folder(_design|_local)/:name/:attachment(*)', '/:db/:name/:attachment(*)'];
const MAX_BYTES = 256 * 1024 * 1024;

function conflict(name, reason) {
  return new CouchError(409, name, reason);
}

// Returns the document revision that a write replaces, or a new document.
async function parentOf(req) {
  const _id = documentId(req.params);
  const rev = revisionOf(req);
  try {
    const doc = await req.db.get(_id, rev === undefined ? {} : { rev });
    if (rev === undefined) {
      throw conflict('conflict', 'Document update conflict.');
    }
    return doc;
  } catch (error) {
    if (error.status !== 404) {
      throw error;
    }
    if (rev !== undefined) {
      throw conflict('not_found', 'missing_rev');
    }
    return { _id };
  }
}

function decoded(bytes, { 'content-encoding': encoding = 'identity' }) {
  if (encoding === 'identity') {
    return bytes;
  }
  if (encoding !== 'gzip') {
    throw new CouchError(415, 'bad_ctype', 'Only gzip is a supported content-encoding.');
  }
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    throw new CouchError(400, 'bad_request', `The body is no gzip: ${error.message}`);
  }
}

async function put(req, res) {
  const { attachment: name } = req.params;
  checkAttachmentName(name);
  const data = decoded(await readBody(req), req.headers);
  const doc = await parentOf(req);
  const stored = { content_type: req.headers['content-type'], data };
  const changed = { ...doc, _attachments: { ...doc._attachments, [name]: stored } };
  checkDocument(changed, 0);
  const { id, rev } = await writeOne(req, changed);
  sendJson(res, 201, { ok: true, id, rev });
}

async function remove(req, res) {
  const { attachment: name } = req.params;
  const { _attachments: { [name]: removed, ...others } = {}, ...doc } = await existing(req);
  if (removed === undefined) {
    throw new CouchError(404, 'not_found', 'Document is missing attachment');
  }
  const rest = Object.keys(others).length > 0 ? { _attachments: others } : {};
  const { id, rev } = await writeOne(req, { ...doc, ...rest });
  sendJson(res, 200, { ok: true, id, rev });
}

async function existing(req) {
  const doc = await parentOf(req);
  if (doc._rev === undefined) {
    throw new CouchError(404, 'not_found', 'missing');
  }
  return doc;
}

async function get(req, res) {
  const { attachment: name } = req.params;
  const options = req.query.rev === undefined ? {} : { rev: checkedRevision(req.query.rev) };
  const doc = await req.db.get(documentId(req.params), options);
  const attachment = Object.hasOwn(doc._attachments ?? {}, name) ? doc._attachments[name] : undefined;
  if (attachment === undefined) {
    throw new CouchError(404, 'not_found', 'Document is missing attachment');
  }
  const etag = `"${attachment.digest.replace(/^md5-/, '')}"`;
  const headers = { ETag: etag, 'Cache-Control': 'must-revalidate', 'Accept-Ranges': 'none' };
  if (req.headers['if-none-match'] === etag) {
    res.writeHead(304, headers).end();
    return;
  }
  const bytes = await req.db.getAttachment(doc._id, name, { rev: doc._rev });
  res.writeHead(200, { ...headers, 'Content-Type': attachment.content_type, 'Content-Length': bytes.length });
  res.end(bytes);
}

function refuseLocal(req, res, next) {
  if (req.params.folder === '_local') {
    throw new CouchError(400, 'bad_request', '_local documents do not accept attachments.');
  }
  next();
}

function unlessEndpoint(req, res, next) {
  const { folder, name, attachment } = req.params;
  next((folder === undefined && name.startsWith('_')) || attachment === '' ? 'route' : undefined);
}

function mount(app) {
  app.get(PATHS, unlessEndpoint, refuseLocal, handle(get));
  app.put(PATHS, unlessEndpoint, refuseLocal, handle(put));
  app.delete(PATHS, unlessEndpoint, refuseLocal, handle(remove));
}

module.exports = { mount };
