'use strict';

// Replication, once (_replicate) and kept up (_replicator documents). CouchDB's endpoints are URLs or
// {"url", "auth", "headers"}; a bare database name is no endpoint; a missing target is created only on request.
// https://docs.couchdb.org/en/stable/replication/replicator.html

const { jsonBody, jsonObject, requireJsonType } = require('./body');
const { CouchError, describe, handle, sendJson } = require('./http');

const OPTIONS = ['doc_ids', 'filter', 'query_params', 'selector', 'batch_size'];
const MAX_PAUSE_MS = 5_000;
const DONE_STATES = new Set(['completed', 'failed']);

function checkEndpoint(given, role) {
  const url = given?.url ?? given;
  if (!/^https?:\/\//.test(url)) {
    throw new CouchError(403, 'forbidden', `\`${role}\` must be a URL that starts with http:// or https://`);
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

// The documents of _replicator, each a replication that runs while its document says so.
class Replicator {
  constructor(PouchDB, db) {
    this.PouchDB = PouchDB;
    this.db = db;
    this.running = new Map();
  }

  follow() {
    this.db.changes({ since: 0, live: true, include_docs: true, return_docs: false })
      .on('change', ({ doc }) => this.apply(doc))
      .on('error', (error) => process.stderr.write(`_replicator: ${error.message}\n`));
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
      if (error.status !== 409) { // changed or deleted meanwhile: its new revision is what counts
        process.stderr.write(`_replicator/${doc._id}: ${error.message}\n`);
      }
    }
  }
}

function failure(error) {
  return { _replication_state: 'failed', _replication_state_reason: String(error.message || error) };
}

// _replicate, unlike _replicator, takes the name of a database of this server.
function expandName(given, req, { user, password }) {
  const isName = typeof given === 'string' && !given.includes('://');
  return isName ? { url: `http://${req.headers.host}/${given}`, auth: { basic: { username: user, password } } } : given;
}

async function replicateOnce(PouchDB, credentials, req, res) {
  const job = { ...jsonObject(req) };
  for (const role of ['source', 'target']) {
    job[role] = expandName(job[role], req, credentials);
    checkEndpoint(job[role], role);
  }
  try {
    const replication = start(PouchDB, job, job.continuous === true);
    if (job.continuous === true) {
      sendJson(res, 202, { ok: true });
      return;
    }
    const result = await replication;
    sendJson(res, 200, {
      ok: true, source_last_seq: result.last_seq, replication_id_version: 4, history: [summary(result)],
    });
  } catch (error) {
    sendJson(res, error.status >= 400 ? error.status : 500, describe(error));
  }
}

function checkJob(req, res, next) {
  const job = jsonObject(req);
  if (!job._deleted && !req.params.id?.startsWith('_')) {
    checkEndpoint(job.source, 'source');
    checkEndpoint(job.target, 'target');
  }
  next();
}

function mount(app, PouchDB, credentials) {
  const once = handle((req, res) => replicateOnce(PouchDB, credentials, req, res));
  app.post('/_replicate', requireJsonType, jsonBody, once);
  app.put('/_replicator/:id', jsonBody, checkJob);
  app.post('/_replicator', requireJsonType, jsonBody, checkJob);
}

module.exports = { Replicator, mount };
