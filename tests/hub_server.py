"""A model hub on this machine: repositories to download from, and a record of what was uploaded."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from local_server import LocalServer

TOKEN = "hf_secret_token_of_the_tests"


def _sha1(raw):
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()


class Repository:
    """Files by path; each state has a commit, and branches name commits."""

    def __init__(self, private=False):
        self.private = private
        self.commits = {}
        self.branches = {}

    def commit(self, files, branch="main"):
        names = "".join(sorted(f"{name}{_sha1(raw)}" for name, raw in files.items()))
        name = hashlib.sha1(names.encode()).hexdigest()
        self.commits[name], self.branches[branch] = dict(files), name
        return name

    def at(self, revision):
        return self.branches.get(revision, revision)

    @property
    def files(self):
        return self.commits[self.branches["main"]]


class Hub(LocalServer):
    """The hub. ``refuse`` maps a path's beginning to a status that is answered there."""

    def __init__(self):
        self.repositories = {}
        self.requests = []
        self.refuse = {}
        self.uploaded = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                outer._answer(self, b"")

            do_GET = do_HEAD  # noqa: N815

            def do_POST(self):
                outer._answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            do_PUT = do_POST  # noqa: N815

            def log_message(self, *args):
                pass

        super().__init__(Handler)

    def add(self, name, folder, branch="main"):
        """Publish a folder's files; gives the commit."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        return self.repositories.setdefault(name, Repository()).commit(files, branch)

    def paths(self, method):
        return [path for verb, path, _ in self.requests if verb == method]

    def _answer(self, handler, body):
        path = unquote(urlsplit(handler.path).path)
        self.requests.append((handler.command, path, dict(handler.headers)))
        status, raw, headers = self._route(handler, path, body)
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(raw)

    def _route(self, handler, path, body):
        for beginning, status in self.refuse.items():
            if path.startswith(beginning):
                return _json({"error": "refused"}, status)
        if handler.command in ("GET", "HEAD"):
            return self._info(path) if path.startswith("/api/models/") else self._file(path)
        if handler.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith("/lfs/"):
            return _json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            there = name in self.repositories
            if not there:
                self.repositories[name] = Repository(wanted.get("private") or wanted.get("visibility") == "private")
                self.repositories[name].commit({})
            return _json({"url": f"{self.url}/{name}", "id": name, "name": name}, 409 if there else 200)
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if path.startswith("/lfs/"):
            self.uploaded[path.removeprefix("/lfs/")] = body
            return 200, b"", {}
        if path.endswith("/info/lfs/objects/batch"):
            return _json(self._batch(json.loads(body)))
        name, _, action = path.removeprefix("/api/models/").partition("/preupload/")
        if action:
            files = [self._preupload(found) for found in json.loads(body)["files"]]
            return _json({"files": files})
        name = path.removeprefix("/api/models/").partition("/commit/")[0]
        return _json(self._commit(name, [json.loads(line) for line in body.splitlines() if line.strip()]))

    def _preupload(self, file):
        kind = "lfs" if file["path"].endswith(".safetensors") else "regular"
        return {"path": file["path"], "uploadMode": kind, "shouldIgnore": False}

    def _batch(self, wanted):
        objects = [
            {**found, "actions": {"upload": {"href": f"{self.url}/lfs/{found['oid']}", "header": {}}}}
            for found in wanted["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name, lines):
        files = dict(self.repositories[name].files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.uploaded[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.repositories[name].commit(files)
        return {"commitUrl": f"{self.url}/{name}/commit/{commit}", "commitOid": commit, "commitId": commit}

    def _info(self, path):
        name, _, rest = path.removeprefix("/api/models/").partition("/revision/")
        is_tree = "/tree/" in name
        if is_tree:
            name, _, rest = name.partition("/tree/")
        repository = self.repositories.get(name)
        commit = repository and repository.at(rest.split("/")[0] if is_tree else rest or "main")
        if repository is None or commit not in repository.commits:
            code = "RepoNotFound" if repository is None else "RevisionNotFound"
            return 404, b"{}", {"X-Error-Code": code, "X-Error-Message": "not there"}
        files = repository.commits[commit]
        if is_tree:
            return _json([{"type": "file", "path": n, "oid": _sha1(r), "size": len(r)} for n, r in files.items()])
        siblings = [{"rfilename": name} for name in files]
        return _json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []})

    def _file(self, path):
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self.repositories.get(name)
        commit = repository and repository.at(revision)
        if not repository or file not in repository.commits.get(commit, {}):
            return 404, b"", {"X-Error-Code": "EntryNotFound" if repository else "RepoNotFound"}
        raw = repository.commits[commit][file]
        return 200, raw, {"ETag": f'"{_sha1(raw)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}


def _json(value, status=200):
    return status, json.dumps(value).encode(), {"Content-Type": "application/json"}
