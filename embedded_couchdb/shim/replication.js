'use strict';

// Replication: once (_replicate) or as long as a document of _replicator says. An endpoint is a URL or
// {"url", "auth", "headers"}, never a bare database name. A missing target is created only on request.
// https://docs.couchdb.org/en/stable/replication/replicator.html

const { jsonBody, jsonObject, requireJsonType } = require('./body');
const { CouchError, describe, handle, log, sendJson } = require('./http');

const OPTIONS = ['doc_ids', 'filter', 'query_params', 'selector', 'batch_size'];
const UNSUPPORTED = ['cancel', 'source_proxy', 'target_proxy', 'use_bulk_get', 'winning_revs_only'];
const MAX_PAUSE_MS = 5_000;
const DONE_STATES = new Set(['completed', 'failed']);

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStringMap(value) {
  return isObject(value) && Object.values(value).every((each) => typeof each === 'string');
}

const TYPES = {
  doc_ids: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  filter: (value) => typeof value === 'string',
  query_params: isObject,
  selector: isObject,
  batch_size: (value) => Number.isInteger(value) && value > 0,
};

function isUrl(text) {
  try {
    return new URL(text).hostname !== '';
  } catch {
    return false;
  }
}

function checkEndpoint(given, role) {
  const { url, auth, headers = {} } = isObject(given) ? given : { url: given };
  if (typeof url !== 'string' || !/^https?:\/\//.test(url) || !isUrl(url)) {
    throw new CouchError(403, 'forbidden', `\`${role}\` must be a URL that starts with http:// or https://`);
  }
  if (!isStringMap(headers) || (auth !== undefined && !isStringMap(auth?.basic))) {
    throw new CouchError(403, 'forbidden', `\`${role}\` must have texts in its headers and its basic credentials`);
  }
}

function checkOptions(job) {
  for (const [name, isRight] of Object.entries(TYPES)) {
    if (job[name] !== undefined && !isRight(job[name])) {
      throw new CouchError(400, 'bad_request', `\`${name}\` has a wrong type`);
    }
  }
  const unsupported = UNSUPPORTED.find((name) => job[name] !== undefined);
  if (unsupported !== undefined) {
    throw new CouchError(501, 'not_implemented', `The stand-in does not replicate with \`${unsupported}\`.`);
  }
}

function endpoint(PouchDB, given, createsTarget) {
  const { url, auth, headers = {} } = typeof given === 'string' ? { url: given } : given;
  const options = { headers, skip_setup: !createsTarget };
  if (auth?.basic) {
    options.auth = auth.basic;
  }
  return new PouchDB(url, options);
}

function start(PouchDB, job, isLive) {
  const source = endpoint(PouchDB, job.source, false);
  const target = endpoint(PouchDB, job.target, job.create_target === true);
  const options = { live: isLive, retry: isLive, back_off_function: pauseMs };
  for (const name of OPTIONS) {
    if (job[name] !== undefined) {
      options[name] = job[name];
    }
  }
  if (job.since_seq !== undefined) {
    options.since = job.since_seq;
  }
  if (job.use_checkpoints === false) {
    options.checkpoint = false;
  }
  return PouchDB.replicate(source, target, options);
}

function pauseMs(previousMs) {
  return Math.min(MAX_PAUSE_MS, previousMs === 0 ? 500 : previousMs * 2);
}

function summary(result) {
  return {
    start_time: result.start_time,
    end_time: result.end_time,
    docs_read: result.docs_read,
    docs_written: result.docs_written,
    doc_write_failures: result.doc_write_failures,
  };
}

// Runs the replications that the documents of _replicator describe.
class Replicator {
  constructor(PouchDB, database) {
    this.PouchDB = PouchDB;
    this.db = database.pouch;
    this.running = new Map();
  }

  follow() {
    this.db.changes({ since: 0, live: true, include_docs: true, return_docs: false })
      .on('change', ({ doc }) => this.apply(doc))
      .on('error', (error) => log(`_replicator: ${error.message}`));
  }

  apply(doc) {
    if (doc._id.startsWith('_design/') || this.running.get(doc._id)?.rev === doc._rev) {
      return;
    }
    this.running.get(doc._id)?.replication.cancel();
    this.running.delete(doc._id);
    if (!doc._deleted && !DONE_STATES.has(doc._replication_state)) {
      this.run(doc);
    }
  }

  run(doc) {
    try {
      checkJob(doc);
      const replication = start(this.PouchDB, doc, doc.continuous === true);
      this.running.set(doc._id, { rev: doc._rev, replication });
      replication.then(
        (result) => this.finish(doc, { _replication_state: 'completed', _replication_stats: summary(result) }),
        (error) => this.finish(doc, failure(error)),
      );
    } catch (error) {
      this.finish(doc, failure(error));
    }
  }

  async finish(doc, outcome) {
    if (this.running.has(doc._id) && this.running.get(doc._id).rev !== doc._rev) {
      return;
    }
    this.running.delete(doc._id);
    try {
      await this.db.put({ ...doc, ...outcome, _replication_state_time: new Date().toISOString() });
    } catch (error) {
      if (error.status !== 409) { // the document has changed: its new revision counts
        log(`_replicator/${doc._id}: ${error.message}`);
      }
    }
  }
}

function failure(error) {
  return { _replication_state: 'failed', _replication_state_reason: String(error.message || error) };
}

function checkJob(job) {
  for (const role of ['source', 'target']) {
    checkEndpoint(job[role], role);
  }
  checkOptions(job);
}

// Unlike _replicator, _replicate accepts the name of a database on this server.
function expandName(given, req, { user, password }) {
  const isName = typeof given === 'string' && !given.includes('://');
  return isName
    ? { url: `http://${req.headers.host}/${encodeURIComponent(given)}`, auth: { basic: { username: user, password } } }
    : given;
}

async function replicateOnce({ PouchDB }, credentials, req, res) {
  const job = { ...jsonObject(req) };
  for (const role of ['source', 'target']) {
    job[role] = expandName(job[role], req, credentials);
  }
  checkJob(job);
  const replication = start(PouchDB, job, job.continuous === true);
  if (job.continuous === true) {
    replication.catch((error) => log(`_replicate: ${error.message ?? error}`));
    sendJson(res, 202, { ok: true });
    return;
  }
  try {
    const result = await replication;
    sendJson(res, 200, {
      ok: true, source_last_seq: result.last_seq, replication_id_version: 4, history: [summary(result)],
    });
  } catch (error) {
    sendJson(res, error.status >= 400 ? error.status : 500, describe(error));
  }
}

function checkDocument(req, res, next) {
  const job = jsonObject(req);
  if (!job._deleted && !req.params.id?.startsWith('_')) {
    checkJob(job);
  }
  next();
}

// Reports the state of one replication document, for clients that wait for it.
async function schedulerDocument(replicator, req, res) {
  const { _id: id, _replication_state: state = 'running' } = await replicator.db.get(req.params.id);
  sendJson(res, 200, { database: '_replicator', doc_id: id, state, error_count: 0, info: null });
}

function mount(app, replicator, credentials) {
  const once = handle((req, res) => replicateOnce(replicator, credentials, req, res));
  app.post('/_replicate', requireJsonType, jsonBody, once);
  app.put('/_replicator/:id', jsonBody, checkDocument);
  app.post('/_replicator', requireJsonType, jsonBody, checkDocument);
  app.get('/_scheduler/docs/_replicator/:id', handle((req, res) => schedulerDocument(replicator, req, res)));
}

module.exports = { Replicator, mount };
