'use strict';

// Many documents at once. _bulk_docs keeps the order of its documents, and one that could never be stored
// fails them all (400). _bulk_get answers each request, in order, with every leaf, tombstones included.
// https://docs.couchdb.org/en/stable/api/database/bulk-api.html

const { jsonBody, jsonObject, requireJsonType } = require('./body');
const { checkDocument } = require('./documents');
const { CouchError, describe, handle, sendJson } = require('./http');
const { uuid } = require('./uuids');

function requestedDocs(req) {
  const { docs } = jsonObject(req);
  if (!Array.isArray(docs)) {
    throw new CouchError(400, 'bad_request', "Missing JSON list of 'docs'");
  }
  return docs;
}

async function bulkDocs(req, res) {
  const newEdits = req.body?.new_edits !== false;
  const docs = requestedDocs(req);
  for (const doc of docs) {
    checkDocument(doc, req.bodyBytes);
    doc._id ??= uuid();
  }
  const results = await req.db.bulkDocs(docs, { new_edits: newEdits, userCtx: req.userCtx });
  sendJson(res, 201, results.map((result) => (result.error ? { id: result.id, ...describe(result) } : result)));
}

function notFound(id, rev, reason) {
  return { error: { id, rev, error: 'not_found', reason } };
}

async function leavesOf(db, request, options) {
  const { id, rev } = request ?? {};
  if (typeof id !== 'string') {
    return [{ error: { id, rev: null, error: 'illegal_docid', reason: 'Document id must be a string' } }];
  }
  try {
    const found = await db.get(id, { ...options, open_revs: rev === undefined ? 'all' : [rev] });
    return found.map((leaf) => leaf.ok ? { ok: leaf.ok } : notFound(id, leaf.missing, 'missing'));
  } catch (error) {
    if (error.status === 404) {
      return [notFound(id, rev === undefined ? 'undefined' : rev, 'missing')];
    }
    return [{ error: { id, rev, ...describe(error) } }];
  }
}

async function bulkGet(req, res) {
  const options = {};
  for (const flag of ['revs', 'attachments', 'latest']) {
    options[flag] = req.query[flag] === 'true';
  }
  const results = await Promise.all(requestedDocs(req).map(async (request) => (
    { id: request?.id, docs: await leavesOf(req.db, request, options) }
  )));
  sendJson(res, 200, { results });
}

// express-pouchdb answers, but does not survive what is no list of revisions.
function checkRevsDiff(req, res, next) {
  for (const [id, revisions] of Object.entries(jsonObject(req))) {
    if (!Array.isArray(revisions) || !revisions.every((rev) => typeof rev === 'string')) {
      throw new CouchError(400, 'bad_request', `The revisions of ${id} must be a list of strings`);
    }
  }
  next();
}

function mount(app) {
  app.post('/:db/_revs_diff', requireJsonType, jsonBody, checkRevsDiff);
  app.post('/:db/_bulk_docs', requireJsonType, jsonBody, handle(bulkDocs));
  app.post('/:db/_bulk_get', requireJsonType, jsonBody, handle(bulkGet));
}

module.exports = { mount };
