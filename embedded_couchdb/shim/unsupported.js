'use strict';

// Answers 501 with the feature's name for what CouchDB has and the stand-in does not. README.md lists these features.

const { CouchError } = require('./http');

const SERVER_PATHS = [
  '/_active_tasks', '/_cluster_setup', '/_db_updates', '/_dbs_info', '/_membership', '/_node', '/_reshard',
  '/_scheduler', '/_search_analyze', '/_nouveau_analyze', '/_utils',
];
const DATABASE_PATHS = [
  '/:db/_all_docs/queries', '/:db/_design_docs/queries', '/:db/_explain', '/:db/_find', '/:db/_index',
  '/:db/_local_docs', '/:db/_partition', '/:db/_purge', '/:db/_purged_infos', '/:db/_purged_infos_limit',
  '/:db/_shards', '/:db/_sync_shards',
];
const DESIGN_PATHS = ['_list', '_nouveau', '_rewrite', '_search', '_show'].map((name) => `/:db/_design/:name/${name}`);

function below(paths) {
  return paths.flatMap((path) => [path, `${path}/*`]);
}

function refuse(req) {
  const feature = /\/(_(?!design\/)[a-z_]+)/.exec(req.path)[1];
  throw new CouchError(501, 'not_implemented', `The stand-in has no ${feature}.`);
}

function mountServer(app) {
  app.all(below(SERVER_PATHS), refuse);
}

function mountDatabase(app) {
  app.all(below([...DATABASE_PATHS, ...DESIGN_PATHS]), refuse);
  app.use((req, res, next) => {
    if (req.method === 'COPY') {
      throw new CouchError(501, 'not_implemented', 'The stand-in has no COPY.');
    }
    next();
  });
}

module.exports = { mountDatabase, mountServer };
