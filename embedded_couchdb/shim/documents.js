'use strict';

// Reads and writes single documents. CouchDB takes the id from the URL and the revision from the body, ?rev= or
// If-Match, which must not contradict each other. The revision is also the document's ETag.
// https://docs.couchdb.org/en/stable/api/document/common.html

const { jsonBody, jsonObject, parseJson, readBody, refuseLarge, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');
const multipart = require('./multipart');
const { uuid } = require('./uuids');

const PATHS = ['/:db/:folder(_design|_local)/:name', '/:db/:name'];
const FLAGS = ['attachments', 'conflicts', 'deleted_conflicts', 'local_seq', 'meta', 'revs', 'revs_info'];
const RESERVED_MEMBERS = new Set([
  '_id', '_rev', '_attachments', '_deleted', '_revisions', '_revs_info', '_conflicts', '_deleted_conflicts',
  '_local_seq', '_replication_id', '_replication_state', '_replication_state_time',
  '_replication_state_reason', '_replication_stats',
]);
const DEFAULT_TYPE = 'application/octet-stream';
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]+$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function documentId({ folder, name }) {
  return folder ? `${folder}/${name}` : name;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// Refuses a malformed document, whatever is stored.
function checkDocument(doc, requestBytes) {
  if (!isObject(doc)) {
    throw new CouchError(400, 'bad_request', 'Document must be a JSON object');
  }
  checkId(doc._id);
  for (const member of Object.keys(doc)) {
    if (member.startsWith('_') && !RESERVED_MEMBERS.has(member)) {
      throw new CouchError(400, 'doc_validation', `Bad special document member: ${member}`);
    }
  }
  if (doc._rev !== undefined) {
    checkedRevision(doc._rev, doc._id);
  }
  if (doc._deleted !== undefined && typeof doc._deleted !== 'boolean') {
    throw new CouchError(400, 'doc_validation', '`_deleted` must be a boolean');
  }
  checkAttachments(doc);
  if (!String(doc._id).startsWith('_local/')) { // its replicator's checkpoints have an odd history
    checkRevisions(doc._revisions);
  }
  refuseLarge(doc, requestBytes);
}

function checkAttachments({ _attachments: attachments = {} }) {
  if (!isObject(attachments)) {
    throw new CouchError(400, 'doc_validation', 'Bad special document member: _attachments');
  }
  for (const [name, attachment] of Object.entries(attachments)) {
    checkAttachmentName(name);
    if (!isObject(attachment)) {
      throw new CouchError(400, 'bad_request', `Attachment ${name} must be an object`);
    }
    const { data, stub, content_type: type = DEFAULT_TYPE } = attachment;
    const isStored = stub === true || Buffer.isBuffer(data) || (typeof data === 'string' && BASE64.test(data));
    if (!isStored) {
      throw new CouchError(400, 'bad_request', `Invalid attachment data for ${name}`);
    }
    if (typeof type !== 'string' || !HEADER_VALUE.test(type)) {
      throw new CouchError(400, 'bad_request', `Invalid content type of attachment ${name}`);
    }
    if (data !== undefined) {
      attachment.content_type = type;
    }
  }
}

function checkAttachmentName(name) {
  if (name === '' || name.startsWith('_')) {
    throw new CouchError(400, 'bad_request', `Attachment name '${name}' starts with prohibited character '_'`);
  }
}

function checkRevisions(revisions) {
  if (revisions === undefined) {
    return;
  }
  const { start, ids } = isObject(revisions) ? revisions : {};
  const isHistory = Number.isInteger(start) && Array.isArray(ids) && ids.every((id) => typeof id === 'string');
  if (!isHistory || ids.length > start) {
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

// Returns the revision of If-Match without quotes, or undefined. A proxy may have weakened it to W/"...".
function ifMatchOf(req) {
  return (req.headers['if-match'] ?? '').replace(/^(?:W\/)?"|"$/g, '') || undefined;
}

// Returns the revision that a request names, or undefined.
function revisionOf(req, doc = {}) {
  const revisions = new Set([doc._rev, req.query.rev, ifMatchOf(req)].filter((rev) => rev !== undefined));
  if (revisions.size > 1) {
    throw new CouchError(400, 'bad_request',
      'Document rev from request body, query string and If-Match have different values');
  }
  return revisions.size === 0 ? undefined : checkedRevision([...revisions][0], documentId(req.params));
}

function checkedRevision(rev, id = '') {
  const form = id.startsWith('_local/') ? /^0-\d+$/ : /^\d+-[^-]*$/;
  if (typeof rev !== 'string' || !form.test(rev)) {
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
    throw new CouchError(400, 'bad_request', 'Invalid list of revisions');
  }
  return revisions.map((rev) => checkedRevision(rev));
}

function readOptions(query) {
  const options = {};
  for (const flag of FLAGS) {
    options[flag] = query[flag] === 'true';
  }
  if (query.rev !== undefined) {
    options.rev = checkedRevision(query.rev);
  }
  if (options.local_seq) {
    throw new CouchError(501, 'not_implemented', 'The stand-in has no local_seq.');
  }
  if (options.meta) {
    Object.assign(options, { conflicts: true, deleted_conflicts: true, revs_info: true });
  }
  return options;
}

async function addDeletedConflicts(database, doc) {
  const leaves = await database.leaves(doc._id);
  const deleted = leaves.filter((leaf) => leaf._deleted && leaf._rev !== doc._rev).map((leaf) => leaf._rev);
  return deleted.length > 0 ? { ...doc, _deleted_conflicts: deleted } : doc;
}

// Returns the requested revisions ('all' leaves or a list) as [{ok: document} or {missing: revision}]. With isLatest,
// the leaves that descend from a revision take its place. PouchDB's own `latest` throws on an unknown revision.
async function openRevisions(database, id, revisions, { isLatest = false, ...options }) {
  const { pouch } = database;
  const leaves = await database.leaves(id);
  if (revisions === 'all' && leaves.length === 0) {
    throw new CouchError(404, 'not_found', 'missing');
  }
  const isDescendant = (rev) => ({ _revisions: { start, ids } }) => (
    ids[start - Number.parseInt(rev, 10)] === rev.slice(rev.indexOf('-') + 1)
  );
  const wanted = revisions === 'all' ? leaves.map((leaf) => leaf._rev) : revisions.flatMap((rev) => {
    const descendants = isLatest ? leaves.filter(isDescendant(rev)).map((leaf) => leaf._rev) : [];
    return descendants.length > 0 ? descendants : [rev];
  });
  return Promise.all([...new Set(wanted)].map((rev) => (
    pouch.get(id, { ...options, rev }).then((ok) => ({ ok }), (error) => missing(error, rev))
  )));
}

function missing(error, rev) {
  if (error.status === 404) {
    return { missing: rev };
  }
  throw error;
}

// CouchDB prefers multipart, even if the client lists application/json first.
function acceptsMultipart(req, subtype) {
  const types = (req.headers.accept ?? '*/*').split(',').map((range) => range.split(';')[0].trim());
  return types.some((type) => ['*/*', 'multipart/*', `multipart/${subtype}`].includes(type));
}

async function getOpenRevisions(req, res) {
  const { open_revs: openRevs, latest, revs, attachments } = req.query;
  const isMultipart = acceptsMultipart(req, 'mixed');
  const found = await openRevisions(
    req.database, documentId(req.params), openRevs === 'all' ? 'all' : revisionList(openRevs), {
      isLatest: latest === 'true',
      revs: revs === 'true',
      attachments: isMultipart || attachments === 'true',
      binary: isMultipart,
    },
  );
  if (isMultipart) {
    multipart.send(res, multipart.mixed(found));
  } else {
    sendJson(res, 200, found);
  }
}

async function get(req, res) {
  const id = documentId(req.params);
  if (req.params.folder === '_local') {
    const doc = await storedLocal(req, id);
    tag(res, doc._rev);
    sendJson(res, 200, doc);
    return;
  }
  if (req.query.open_revs !== undefined) {
    await getOpenRevisions(req, res);
    return;
  }
  const options = readOptions(req.query);
  const isMultipart = options.attachments && acceptsMultipart(req, 'related');
  const stored = await req.db.get(id, { ...options, binary: isMultipart });
  const doc = options.deleted_conflicts ? await addDeletedConflicts(req.database, stored) : stored;
  tag(res, doc._rev);
  if (req.headers['if-none-match'] === `"${doc._rev}"`) {
    res.writeHead(304).end();
  } else if (isMultipart && doc._attachments !== undefined) {
    multipart.send(res, multipart.related(doc));
  } else {
    sendJson(res, 200, doc);
  }
}

async function storedLocal(req, id) {
  const doc = await req.database.getLocal(id);
  if (doc === undefined) {
    throw new CouchError(404, 'not_found', 'missing');
  }
  return doc;
}

// Replaces each stub by the attachment that the stored revision has under its name.
async function fillStubs(db, doc) {
  const stubs = Object.entries(doc._attachments ?? {}).filter(([, { stub }]) => stub === true);
  if (stubs.length === 0) {
    return;
  }
  const { start, ids } = doc._revisions ?? { ids: [] };
  const revisions = [doc._rev, ...ids.map((hash, index) => `${start - index}-${hash}`)];
  const known = {};
  for (const rev of new Set(revisions.filter((each) => each !== undefined))) {
    const ancestor = await db.get(doc._id, { rev }).catch(() => ({}));
    Object.entries(ancestor._attachments ?? {}).forEach(([name, attachment]) => { known[name] ??= attachment; });
    if (stubs.every(([name]) => known[name] !== undefined)) {
      break;
    }
  }
  for (const [name, stub] of stubs) {
    if (known[name] === undefined) {
      throw new CouchError(412, 'missing_stub', `Invalid attachment stub in ${doc._id} for ${name}`);
    }
    doc._attachments[name] = { ...stub, ...known[name] };
  }
}

// Writes a document that `checkDocument` has accepted; returns {id, rev}.
async function writeOne(req, doc, { isReplication = false } = {}) {
  await fillStubs(req.db, doc);
  const [result] = await req.database.write([doc], { userCtx: req.userCtx, isReplication });
  if (result.error) {
    throw result;
  }
  return result;
}

async function write(req, res, doc) {
  const { id, rev } = await writeOne(req, doc, { isReplication: req.query.new_edits === 'false' });
  tag(res, rev);
  const path = [req.params.db, id].map(encodeURIComponent).join('/');
  res.setHeader('Location', `http://${req.headers.host}/${path}`);
  sendJson(res, 201, { ok: true, id, rev });
}

async function put(req, res) {
  const doc = { ...jsonObject(req), _id: documentId(req.params) };
  checkDocument(doc, req.bodyBytes);
  const rev = revisionOf(req, doc);
  if (rev !== undefined) {
    doc._rev = rev;
  }
  if (req.query.new_edits === 'false' && rev === undefined) {
    throw new CouchError(400, 'bad_request', 'Document update with new_edits=false needs a revision');
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
  if (req.params.folder === '_local') {
    await storedLocal(req, _id); // 404 when there is nothing to delete
  } else if (_rev === undefined) {
    await req.db.get(_id); // the same
    throw new CouchError(409, 'conflict', 'Document update conflict.');
  } else if ((await req.database.leaves(_id)).length === 0) {
    throw new CouchError(404, 'not_found', 'missing');
  }
  const { id, rev } = await writeOne(req, { _id, _rev, _deleted: true });
  tag(res, rev);
  sendJson(res, 200, { ok: true, id, rev });
}

function unlessEndpoint(req, res, next) {
  next(documentId(req.params).startsWith('_') && !req.params.folder ? 'route' : undefined);
}

function refuseReservedId(req, res, next) {
  checkId(documentId(req.params));
  next();
}

const documentBody = handle(async (req, res, next) => {
  const type = req.headers['content-type'] ?? '';
  if (!/^multipart\/related/i.test(type)) {
    jsonBody(req, res, next);
    return;
  }
  const buffer = await readBody(req);
  req.body = multipart.parseRelated(type, buffer);
  req.bodyBytes = 0; // the limit of a document's size does not count its attachments
  next();
});

function mount(app) {
  app.post('/:db', requireJsonType, jsonBody, handle(post));
  app.put(PATHS, refuseReservedId, documentBody, handle(put));
  app.get(PATHS, unlessEndpoint, handle(get));
  app.delete(PATHS, unlessEndpoint, handle(remove));
}

module.exports = {
  checkAttachmentName, checkDocument, checkId, checkedRevision, documentId, fillStubs, mount, openRevisions, revisionOf,
  writeOne,
};
