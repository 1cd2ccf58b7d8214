'use strict';

// Checks a design document when it is written. CouchDB refuses members of a wrong type, and map and reduce functions
// that do not compile. Functions in other languages than JavaScript are not checked.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html

const { compileError } = require('./functions');
const { CouchError } = require('./http');
const { isBuiltIn } = require('./reduce');

const OBJECT_MEMBERS = ['filters', 'lists', 'options', 'shows', 'updates', 'views'];

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason) {
  return new CouchError(400, 'invalid_design_doc', reason);
}

function requireType(value, isRight, name, type) {
  if (value !== undefined && !isRight(value)) {
    throw invalid(`\`${name}\` field must have ${type} type`);
  }
}

function isString(value) {
  return typeof value === 'string';
}

async function requireFunction(source, role, view) {
  const problem = await compileError(source);
  if (problem !== undefined) {
    throw new CouchError(400, 'compilation_error',
      `Compilation of the ${role} function in the '${view}' view failed: ${problem} (${source})`);
  }
}

async function checkView(name, view) {
  requireType(view, isObject, `views.${name}`, 'object');
  const { map, reduce } = view;
  if (map === undefined) {
    throw invalid(`View \`${name}\` must contain map function`);
  }
  requireType(map, isString, `views.${name}.map`, 'string');
  requireType(reduce, isString, `views.${name}.reduce`, 'string');
  await requireFunction(map, 'map', name);
  if (reduce?.startsWith('_') && !isBuiltIn(reduce)) {
    throw invalid(`\`${reduce}\` is not a supported reduce function.`);
  }
  if (reduce !== undefined && !reduce.startsWith('_')) {
    await requireFunction(reduce, 'reduce', name);
  }
}

async function checkDesignDocument(ddoc) {
  const { language = 'javascript', views = {}, validate_doc_update: validate } = ddoc;
  requireType(language, isString, 'language', 'string');
  requireType(validate, isString, 'validate_doc_update', 'string');
  for (const member of OBJECT_MEMBERS) {
    requireType(ddoc[member], isObject, member, 'object');
  }
  if (language !== 'javascript') {
    return;
  }
  for (const [name, view] of Object.entries(views)) {
    if (name !== 'lib') {
      await checkView(name, view);
    }
  }
}

module.exports = { checkDesignDocument };
