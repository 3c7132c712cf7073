#!/usr/bin/python3
"""What a person sees of the daemon's page: web.py URL SCENARIO [ARGUMENT...]

Exit 0 if all claims of the scenario hold; else 1, and which do not.  At the end
of each nothing went wrong in the page, and it asked for nothing elsewhere.
"""
import asyncio
import json
import subprocess
import sys

from browser import Browser

LIVE = 'document.getElementById("state").dataset.state === "live"'


def claim(is_so, *words):
    if not is_so:
        raise AssertionError(" ".join(str(word) for word in words))


def ctl(*words):
    return json.loads(subprocess.check_output(
        ["shmallocctl", "--json", *words]))


async def value(page, selector):
    quoted = json.dumps(selector)
    return await page.js(f"document.querySelector({quoted}).dataset.value")


async def column(page, table, title):
    """The values in the column TITLE of TABLE, in their order."""
    return await page.js(f"""(() => {{
        const heads = [...document.querySelectorAll("#{table} th")];
        const i = heads.findIndex((th) => th.textContent.startsWith("{title}"));
        return [...document.querySelectorAll("#{table} tbody tr")]
            .map((tr) => tr.children[i].dataset.value);
    }})()""")


def head(table, n):
    return f"#{table} th:nth-child({n}) button"


# ---- Scenarios ----------------------------------------------------------------

async def values(page, base):
    """The figures of an idle segment are those that shmallocctl prints."""
    await page.wait(f"{LIVE} && "
                    'document.querySelectorAll("#clients td").length > 1 && '
                    'document.querySelectorAll("#map-legend li").length > 1')
    await asyncio.sleep(2.5)
    stats, clients = ctl("stats"), ctl("clients")
    locks, heap_map = ctl("locks"), ctl("map")
    of = stats["bytes"]
    for name, expected in {
        "in-use": of["allocated"],
        "free": of["free_binned"] + of["free_fast"] + of["free_top"] +
                of["extents_free"],
        "largest": stats["fragmentation"]["largest_free_bytes"],
        "cached": of["cached"],
        "resident": of["resident"],
        "in-use-of": stats["segment"]["limit_bytes"],
        "clients-alive": stats["clients"]["alive"],
        "failed": sum(stats["failures"].values()),
    }.items():
        shown = await value(page, f"#{name}")
        claim(shown == str(expected), name, "is", shown, "not", expected)
    shown = await column(page, "clients", "PID")
    claim(shown == [str(c["pid"]) for c in clients], "clients are", shown)
    shown = await column(page, "clients", "Held")
    claim(shown == [str(c["held_bytes"]) for c in clients], "held is", shown)
    shown = await column(page, "locks", "Taken")
    claim(len(shown) == len(locks["locks"]), "locks are", shown)
    latency = ctl("latency")["latency"]
    shown = (await column(page, "latencies", "P99"))[:5]
    claim([float(p or 0) for p in shown] ==
          [o["p99_seconds"] or 0 for o in latency[:5]], "P99 are", shown)
    caches = ctl("cache", "list")
    claim([c["cache"] for c in caches] == ["<b>bold</b>", "pages"], caches)
    for title, expected in {
        "Cache": [c["cache"] for c in caches],
        "Entries": [c["entries"] for c in caches],
        "Used": [c["used_bytes"] for c in caches],
        "Hits": [c["hits"] for c in caches],
        "Evicted": [sum(c["evicted"].values()) for c in caches],
        "Expired": [c["expired"] for c in caches],
    }.items():
        shown = await column(page, "caches", title)
        claim(shown == [str(e) for e in expected], title, "is", shown)
    claim(await page.js('document.querySelector("#caches b") === null'),
          "a cache's name became markup")
    shown = await column(page, "events", "What")
    told = [e["text"] for e in ctl("events")["events"]]
    claim(shown == told[::-1][:20], "events are", shown)
    await page.click("#map-now")
    for kind in heap_map["legend"]:
        selector = f'#map-legend [data-class="{kind["name"]}"]'
        await page.wait(f"document.querySelector({json.dumps(selector)})"
                        f'.dataset.value === "{kind["bytes"]}"')
    cells = await page.js(
        'document.querySelectorAll("#map-arenas canvas").length')
    claim(cells == len(heap_map["arenas"]), cells, "maps of arenas")
    # A client's own words are shown as text.
    claim(await page.js('document.querySelector("#clients b") === null'),
          "a label became markup")


async def clicks(page, base):
    """What can be pressed does what it says."""
    await page.wait(f"{LIVE} && "
                    'document.querySelectorAll("#map-legend li").length > 1')
    await page.click(head("clients", 1))
    down = [int(pid) for pid in await column(page, "clients", "PID")]
    await page.click(head("clients", 1))
    up = [int(pid) for pid in await column(page, "clients", "PID")]
    claim(len(down) > 1 and down == sorted(down, reverse=True), "down", down)
    claim(up == sorted(up), "up", up)
    order = await page.js('document.querySelector("#clients th")'
                          '.getAttribute("aria-sort")')
    claim(order == "ascending", order)

    free = '#map-legend [data-class="free"]'
    pressed = f"document.querySelector('{free}').ariaPressed"
    await page.click(free)
    claim(await page.js(pressed) == "true", "the legend is not pressed")
    await page.click(free)
    claim(await page.js(pressed) == "false", "the legend is still pressed")

    x, y = await page.point("#map-arenas canvas", 0.01, 0.1)
    await page.mouse("mouseMoved", x, y)
    await page.wait('document.getElementById("map-where").textContent'
                    '.includes("mostly ")')

    await page.click("#pause")
    await page.wait('document.getElementById("state").textContent === "Paused"')
    await asyncio.sleep(1.5)
    n = len(page.requests)
    await asyncio.sleep(2)
    claim(len(page.requests) == n, "a paused page asks")
    await page.click("#pause")
    await page.wait(LIVE)

    # The other segment, by the keyboard: Tab to it, and its first letter.
    await page.js('document.getElementById("segment").focus()')
    await page.key("w")
    await page.wait('document.getElementById("version").textContent'
                    '.includes("segment web ")')
    await page.wait('document.getElementById("shared-caches").hidden')
    limit = ctl("--segment", "web", "stats")["segment"]["limit_bytes"]
    claim(await value(page, "#in-use-of") == str(limit), "not web's limit")


async def narrow(page, base):
    """No width that a phone has needs sideways scrolling."""
    for width in (390, 360, 320):
        await page.size(width)
        await page.wait(f'{LIVE} && document.querySelectorAll('
                        '"#memory .uplot").length === 1 && '
                        'document.querySelectorAll("canvas").length > 4')
        await asyncio.sleep(0.5)
        wide = await page.js("document.documentElement.scrollWidth")
        claim(wide <= width, "the page is", wide, "wide on", width)
        out = await page.js(f"""[...document.querySelectorAll(
            "main *:not(.scroll *)")].filter((e) =>
            e.getBoundingClientRect().right > {width} + 1)
            .map((e) => e.tagName + "." + e.className)""")
        claim(out == [], "beyond the edge:", out)


CONTRAST = """(() => {
    const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92
        : ((c + 0.055) / 1.055) ** 2.4;
    const parse = (text) => text.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) +
        0.0722 * channel(b);
    const back = (e) => {
        for (; e !== null; e = e.parentElement) {
            const color = parse(getComputedStyle(e).backgroundColor);
            if (color.length < 4 || color[3] > 0)
                return color;
        }
        return [255, 255, 255];
    };
    const bad = [];
    const walker = document.createTreeWalker(document.body,
        NodeFilter.SHOW_TEXT);
    for (let n = walker.nextNode(); n !== null; n = walker.nextNode()) {
        const e = n.parentElement;
        if (n.data.trim() === "" || e.getClientRects().length === 0 ||
            e.closest("noscript, script, .u-hz") !== null)
            continue;
        const a = light(parse(getComputedStyle(e).color)), b = light(back(e));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5)
            bad.push(n.data.trim().slice(0, 30) + ": " + ratio.toFixed(2));
    }
    return bad;
})()"""

NAMED = {"button", "combobox", "checkbox", "image", "img", "meter", "region",
         "link", "heading", "table"}


async def readable(page, base):
    """Text stands out in both schemes; what can be used has a name."""
    await page.wait(f'{LIVE} && document.querySelectorAll('
                    '"#memory .uplot").length === 1 && '
                    'document.querySelectorAll("#map-legend li").length > 1')
    backs = set()
    for scheme in ("light", "dark"):
        await page.scheme(scheme)
        await asyncio.sleep(0.3)
        bad = await page.js(CONTRAST)
        claim(bad == [], scheme, bad)
        backs.add(await page.js(
            "getComputedStyle(document.body).backgroundColor"))
    claim(len(backs) == 2, "both schemes look the same")
    tree = await page.do("Accessibility.getFullAXTree")
    seen = set()
    for node in tree["nodes"]:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in NAMED or role == "table":
            continue
        seen.add(role)
        claim(node.get("name", {}).get("value", "").strip(),
              "nameless:", role, node)
    claim({"button", "combobox", "checkbox", "meter"} <= seen, seen)
    claim(await page.js('document.documentElement.lang') == "en", "no lang")
    panels = await page.js("""[...document.querySelectorAll("section")]
        .filter((s) => s.querySelector(".normal") === null).length""")
    claim(panels == 0, panels, "panels do not say what is normal")


async def outage(page, base, *command):
    """COMMAND ends the daemon; the page says so, and goes on with the next."""
    await page.wait(LIVE)
    pid = await page.js('document.getElementById("daemon").textContent')
    subprocess.check_call(command[:3])
    await page.wait('document.getElementById("state").dataset.state === "lost"')
    page.errors.clear()
    subprocess.check_call(command[3:])
    await page.wait(f'{LIVE} && document.getElementById("daemon")'
                    f'.textContent !== {json.dumps(pid)}')
    # The browser itself notes each request that failed.
    page.errors = [e for e in page.errors if "net::ERR_" not in e]


async def shots(page, base, folder):
    """Pictures: in both schemes, on a desk and on a phone."""
    await page.wait(f'{LIVE} && document.querySelectorAll('
                    '"#map-legend li").length > 1')
    await asyncio.sleep(20)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            await page.scheme(scheme)
            await page.size(width)
            await asyncio.sleep(1.5)
            await page.shot_whole(f"{folder}/{scheme}-{width}.png", width)
    await page.shot_whole(f"{folder}/phone.png", 390, 1700)
    # Its events, at the end.
    await page.js('document.getElementById("events").scrollIntoView()')
    await asyncio.sleep(1.5)
    await page.shot(f"{folder}/phone-events.png")


async def main(base, scenario, *arguments):
    async with Browser() as browser:
        page = await browser.open(base)
        await globals()[scenario](page, base, *arguments)
        claim(page.errors == [], "errors:", page.errors)
        foreign = [url for url in page.requests if not url.startswith(base)]
        claim(page.requests and foreign == [], "asked elsewhere:", foreign)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (AssertionError, RuntimeError) as error:
        sys.exit(f"web.py: {sys.argv[2]}: {error}")
