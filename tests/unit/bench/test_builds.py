from tasks.bench.builds import cache_ids

LISTED = """\
ID:\t\tlt0od2abj912
Created at:\t2026-11-26 08:35:18 +0000 UTC
Mutable:\ttrue
Description:\tcached mount /ccache from exec /bin/sh -c make with id "bench-1/tea-ccache"
Type:\t\texec.cachemount

ID:\t\t8hbq57lfeh2q
Mutable:\ttrue
Description:\tcached mount /ccache from exec /bin/sh -c make with id "/tea-ccache"
Type:\t\texec.cachemount

ID:\t\tq8zykmbdi7yy
Mutable:\ttrue
Description:\tcached mount /apt from exec /bin/sh -c apt with id "bench-12//var/lib/apt"
Type:\t\texec.cachemount

Reclaimable:\t29B
Total:\t29B
"""


def test_only_the_caches_of_the_run_are_removed() -> None:
    assert cache_ids(LISTED, "bench-1") == ["lt0od2abj912"]
    assert cache_ids(LISTED, "bench-2") == []
