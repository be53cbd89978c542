"""The crawl benchmark's own side: `crawl URLS WORKSPACE` with ledger and WARC, and `replay WORKSPACE WORKERS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents
from sourcing.crawling.spider.run import CrawlRequest, run_crawl
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Workspace
from tests.benchmarks.css_page import SOURCE

if __name__ == "__main__":
    sources = {SOURCE.name: SOURCE}
    if sys.argv[1] == "crawl":
        settings = Settings(crawl=CrawlSettings(contact="bench@example.org", allow_private_hosts=True))
        result = run_crawl(Workspace(Path(sys.argv[3])), settings, sources, CrawlRequest(lists=[Path(sys.argv[2])]))
        print(json.dumps(result.as_dict()))
    else:
        documents, _ = rebuild_documents(Workspace(Path(sys.argv[2])), sources, ReplayOptions(workers=int(sys.argv[3])))
        print(documents)
