'use strict';

// Bulk requests. _bulk_docs answers in the order of its documents; one malformed document fails them all (400).
// _bulk_get answers each request, in order, with every leaf, tombstones included.
// https://docs.couchdb.org/en/stable/api/database/bulk-api.html

const { jsonBody, jsonObject, requireJsonType } = require('./body');
const { checkDocument, checkId, checkedRevision, fillStubs, openRevisions } = require('./documents');
const { CouchError, describe, handle, sendJson } = require('./http');
const { uuid } = require('./uuids');

function requestedDocs(req) {
  const { docs } = jsonObject(req);
  if (!Array.isArray(docs)) {
    throw new CouchError(400, 'bad_request', 'POST body must include `docs` parameter.');
  }
  return docs;
}

async function bulkDocs(req, res) {
  const docs = requestedDocs(req);
  const isReplication = req.body.new_edits === false;
  for (const doc of docs) {
    checkDocument(doc, req.bodyBytes);
    doc._id ??= uuid();
    if (isReplication && doc._rev === undefined) {
      throw new CouchError(400, 'bad_request', 'Document update with new_edits=false needs a revision');
    }
    await fillStubs(req.db, doc);
  }
  const results = await req.database.write(docs, { userCtx: req.userCtx, isReplication });
  const answers = results.map((result) => (
    result.error ? { id: result.id, ...(result.rev && { rev: result.rev }), ...describe(result) } : result
  ));
  sendJson(res, 201, isReplication ? answers.filter((answer) => answer.error) : answers);
}

function failure(id, rev, error) {
  return [{ error: { id, rev, ...describe(error) } }];
}

async function leavesOf(database, request, options) {
  const { id = null, rev } = request ?? {};
  try {
    checkId(id);
    const revisions = rev === undefined ? 'all' : [checkedRevision(rev)];
    const found = await openRevisions(database, id, revisions, options);
    return found.flatMap(({ ok, missing }) => (
      ok ? [{ ok }] : failure(id, missing, new CouchError(404, 'not_found', 'missing'))
    ));
  } catch (error) {
    if (!(error.status >= 400)) {
      throw error;
    }
    return failure(id, rev ?? (error.status === 404 ? 'undefined' : null), error);
  }
}

async function bulkGet(req, res) {
  const { latest, revs, attachments } = req.query;
  const options = { isLatest: latest === 'true', revs: revs === 'true', attachments: attachments === 'true' };
  const results = await Promise.all(requestedDocs(req).map(async (request) => (
    { id: request?.id ?? null, docs: await leavesOf(req.database, request, options) }
  )));
  sendJson(res, 200, { results });
}

function requestedRevisions(req) {
  for (const [id, revisions] of Object.entries(jsonObject(req))) {
    if (!Array.isArray(revisions)) {
      throw new CouchError(400, 'bad_request', `The revisions of ${id} must be a list of strings`);
    }
    revisions.forEach((rev) => checkedRevision(rev));
  }
  return req.body;
}

async function ancestorsOf(database, id, missing) {
  const most = Math.max(...missing.map((rev) => Number.parseInt(rev, 10)));
  const leaves = await database.leaves(id);
  return leaves.map((leaf) => leaf._rev).filter((rev) => Number.parseInt(rev, 10) < most);
}

async function revsDiff(req, res) {
  const found = await req.db.revsDiff(requestedRevisions(req));
  const entries = await Promise.all(Object.entries(found).filter(([, { missing }]) => missing.length > 0)
    .map(async ([id, { missing }]) => {
      const ancestors = await ancestorsOf(req.database, id, missing);
      return [id, { missing, ...(ancestors.length > 0 && { possible_ancestors: ancestors }) }];
    }));
  sendJson(res, 200, Object.fromEntries(entries));
}

async function missingRevs(req, res) {
  const found = await req.db.revsDiff(requestedRevisions(req));
  const missing = Object.entries(found).map(([id, diff]) => [id, diff.missing]);
  sendJson(res, 200, { missing_revs: Object.fromEntries(missing) });
}

function mount(app) {
  const routes = { _bulk_docs: bulkDocs, _bulk_get: bulkGet, _missing_revs: missingRevs, _revs_diff: revsDiff };
  for (const [name, handler] of Object.entries(routes)) {
    app.post(`/:db/${name}`, requireJsonType, jsonBody, handle(handler));
  }
}

module.exports = { mount };
