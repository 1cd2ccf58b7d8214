'use strict';

// One document at a time. CouchDB takes the id from the URL, the revision from the body, ?rev= or If-Match
// (which must not contradict each other), refuses to delete without one (409), and tags a document with it.
// https://docs.couchdb.org/en/stable/api/document/common.html

const { jsonBody, jsonObject, parseJson, refuseLarge, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');
const { uuid } = require('./uuids');

const PATHS = ['/:db/:folder(_design|_local)/:name', '/:db/:name'];
const FLAGS = ['attachments', 'conflicts', 'latest', 'revs', 'revs_info'];
const RESERVED_MEMBERS = new Set([
  '_id', '_rev', '_attachments', '_deleted', '_revisions', '_revs_info', '_conflicts', '_deleted_conflicts',
  '_local_seq', '_replication_id', '_replication_state', '_replication_state_time',
  '_replication_state_reason', '_replication_stats',
]);

function documentId({ folder, name }) {
  return folder ? `${folder}/${name}` : name;
}

function checkDocument(doc, requestBytes) {
  if (typeof doc !== 'object' || doc === null || Array.isArray(doc)) {
    throw new CouchError(400, 'bad_request', 'Document must be a JSON object');
  }
  checkId(doc._id);
  for (const member of Object.keys(doc)) {
    if (member.startsWith('_') && !RESERVED_MEMBERS.has(member)) {
      throw new CouchError(400, 'doc_validation', `Bad special document member: ${member}`);
    }
  }
  checkAttachments(doc._attachments ?? {});
  checkRevisions(doc._revisions ?? { start: 0, ids: [] });
  refuseLarge(doc, requestBytes);
}

function checkAttachments(attachments) {
  for (const [name, attachment] of Object.entries(attachments)) {
    if (attachment?.stub !== true && typeof attachment?.data !== 'string') {
      throw new CouchError(400, 'bad_request', `Attachment ${name} must have data or be a stub`);
    }
  }
}

function checkRevisions({ start, ids }) {
  if (!Number.isInteger(start) || !Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) {
    throw new CouchError(400, 'doc_validation', '_revisions must be {"start": integer, "ids": [strings]}');
  }
}

function checkId(id) {
  if (id === undefined) {
    return;
  }
  if (typeof id !== 'string' || id === '') {
    throw new CouchError(400, 'illegal_docid', 'Document id must be a non-empty string');
  }
  if (id.startsWith('_') && !/^_(design|local)\/./.test(id)) {
    throw new CouchError(400, 'illegal_docid', 'Only reserved document ids may start with underscore.');
  }
}

function revisionOf(req, doc = {}) {
  const ifMatch = (req.headers['if-match'] || '').replace(/^"|"$/g, '');
  const revisions = new Set([doc._rev, req.query.rev, ifMatch].filter((rev) => rev));
  if (revisions.size > 1) {
    throw new CouchError(400, 'bad_request',
      'Document rev from request body, query string and If-Match have different values');
  }
  return revisions.size === 0 ? undefined : checkedRevision([...revisions][0]);
}

function checkedRevision(rev) {
  if (!/^\d+-[^-]+$/.test(rev)) {
    throw new CouchError(400, 'bad_request', 'Invalid rev format');
  }
  return rev;
}

function tag(res, rev) {
  res.setHeader('ETag', `"${rev}"`);
}

function revisionList(text) {
  const revisions = parseJson(text);
  if (!Array.isArray(revisions)) {
    throw new CouchError(400, 'bad_request', '`open_revs` must be "all" or an array of revisions');
  }
  return revisions.map(checkedRevision);
}

function readOptions(query) {
  const options = {};
  for (const flag of FLAGS) {
    options[flag] = query[flag] === 'true';
  }
  if (query.rev !== undefined) {
    options.rev = checkedRevision(query.rev);
  }
  if (query.open_revs !== undefined) {
    options.open_revs = query.open_revs === 'all' ? 'all' : revisionList(query.open_revs);
  }
  return options;
}

async function get(req, res) {
  const doc = await req.db.get(documentId(req.params), readOptions(req.query));
  if (!Array.isArray(doc)) {
    tag(res, doc._rev);
    if (req.headers['if-none-match'] === `"${doc._rev}"`) {
      res.writeHead(304).end();
      return;
    }
  }
  sendJson(res, 200, doc);
}

async function write(req, res, doc) {
  const options = { userCtx: req.userCtx };
  if (req.query.new_edits === 'false') {
    options.new_edits = false;
  }
  const result = await req.db.put(doc, options);
  tag(res, result.rev || doc._rev);
  res.setHeader('Location', `http://${req.headers.host}/${req.params.db}/${encodeURIComponent(doc._id)}`);
  sendJson(res, 201, result.rev ? result : { ok: true, id: doc._id, rev: doc._rev });
}

async function put(req, res) {
  const doc = { ...jsonObject(req), _id: documentId(req.params) };
  checkDocument(doc, req.bodyBytes);
  const rev = revisionOf(req, doc);
  if (rev !== undefined) {
    doc._rev = rev;
  }
  await write(req, res, doc);
}

async function post(req, res) {
  const doc = { ...jsonObject(req) };
  doc._id ??= uuid();
  checkDocument(doc, req.bodyBytes);
  await write(req, res, doc);
}

async function remove(req, res) {
  const _id = documentId(req.params);
  const _rev = revisionOf(req);
  if (_rev === undefined) {
    await req.db.get(_id); // 404 when there is nothing to be in conflict with
    throw new CouchError(409, 'conflict', 'Document update conflict.');
  }
  const result = await req.db.remove({ _id, _rev }, { userCtx: req.userCtx });
  tag(res, result.rev);
  sendJson(res, 200, result);
}

function unlessEndpoint(req, res, next) {
  next(documentId(req.params).startsWith('_') && !req.params.folder ? 'route' : undefined);
}

function refuseReservedId(req, res, next) {
  checkId(documentId(req.params));
  next();
}

function refuseMultipart(req, res, next) {
  if (/^multipart\//.test(req.headers['content-type'] ?? '')) {
    throw new CouchError(415, 'bad_content_type', 'Send attachments inline or one by one, not as multipart.');
  }
  next();
}

function mount(app) {
  app.post('/:db', requireJsonType, jsonBody, handle(post));
  app.put(PATHS, refuseReservedId, refuseMultipart, jsonBody, handle(put));
  app.get(PATHS, unlessEndpoint, handle(get));
  app.delete(PATHS, unlessEndpoint, handle(remove));
}

module.exports = { checkDocument, mount };
