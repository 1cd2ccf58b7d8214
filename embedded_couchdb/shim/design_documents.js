'use strict';

// Design documents. CouchDB compiles map and reduce functions when they are uploaded (400 when they don't
// compile), lists design documents at _design_docs, and describes a view's index at _info, where the
// signature depends on the views alone: the same views under another name share it, and their index.
// https://docs.couchdb.org/en/stable/api/ddoc/common.html

const { createHash } = require('node:crypto');
const vm = require('node:vm');
const { CouchError, handle, sendJson } = require('./http');
const { folderBytes, sizesOf } = require('./sizes');

function compile(source, role, view) {
  try {
    return new vm.Script(`(${source.replace(/;\s*$/, '')}\n)`);
  } catch (error) {
    throw new CouchError(400, 'compilation_error',
      `Compilation of the ${role} function in the '${view}' view failed: ${error.message}`);
  }
}

// Throws for the first function that does not compile.
function refuseBrokenViews(doc) {
  const isScript = (doc.language ?? 'javascript') === 'javascript';
  if (!String(doc._id).startsWith('_design/') || doc._deleted || !isScript) {
    return;
  }
  for (const [view, { map, reduce }] of Object.entries(doc.views ?? {})) {
    if (typeof map === 'string') {
      compile(map, 'map', view);
    }
    if (typeof reduce === 'string' && !reduce.startsWith('_')) {
      compile(reduce, 'reduce', view);
    }
  }
}

function signatureOf(ddoc) {
  const { views = {}, language = 'javascript', options = {} } = ddoc;
  return createHash('md5').update(JSON.stringify([views, language, options])).digest('hex');
}

// PouchDB opens an index at its first query and keeps it, by the text of its functions.
async function openIndexes(db, ddoc) {
  const cached = db._cachedViews || {};
  const keys = Object.values(ddoc.views ?? {}).map(({ map, reduce }) => `${map}${reduce}undefined`);
  return Promise.all(keys.filter((key) => cached[key]).map((key) => cached[key]));
}

async function indexedUpTo(index) {
  try {
    return (await index.db.get('_local/lastSeq')).seq;
  } catch {
    return 0;
  }
}

// CouchDB indexes in the background, so that updates_pending comes down without a query.
function indexInBackground(db, ddoc, name) {
  for (const view of Object.keys(ddoc.views ?? {})) {
    db.query(`${name}/${view}`, { limit: 0, reduce: false }).catch(() => {}); // a query will say what is wrong
  }
}

async function info(req, res) {
  const ddoc = await req.db.get(`_design/${req.params.name}`);
  const indexes = await openIndexes(req.db, ddoc);
  const { update_seq: updateSeq } = await req.db.info();
  const sequences = await Promise.all(indexes.map(indexedUpTo));
  const isComplete = indexes.length === Object.keys(ddoc.views ?? {}).length;
  const pending = updateSeq - (isComplete ? Math.min(updateSeq, ...sequences) : 0);
  const bytes = await Promise.all(indexes.map((index) => folderBytes(index.db)));
  if (pending > 0) {
    indexInBackground(req.db, ddoc, req.params.name);
  }
  sendJson(res, 200, {
    name: req.params.name,
    view_index: {
      signature: signatureOf(ddoc),
      language: ddoc.language ?? 'javascript',
      sizes: sizesOf(bytes.reduce((sum, size) => sum + size, 0)),
      updater_running: pending > 0,
      updates_pending: { total: pending, minimum: pending, preferred: pending },
      compact_running: false,
      waiting_clients: 0,
      waiting_commit: false,
      purge_seq: 0,
      update_seq: Math.min(updateSeq, ...sequences),
    },
  });
}

async function list(req, res) {
  const range = { startkey: '_design/', endkey: '_design0', inclusive_end: false };
  const { total_rows: total, rows } = await req.db.allDocs({
    ...range, include_docs: req.query.include_docs === 'true',
  });
  sendJson(res, 200, { total_rows: total, offset: 0, rows });
}

function mount(app) {
  app.get('/:db/_design_docs', handle(list));
  app.get('/:db/_design/:name/_info', handle(info));
}

module.exports = { mount, refuseBrokenViews };
