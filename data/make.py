"""Makes the bundled sets `movies` and `kuairec` from the raw public files.

    python3 -m venv .venv && .venv/bin/pip install pyarrow
    .venv/bin/python data/make.py SOURCE data

SOURCE holds `ml-latest-small/`, `wikipedia-movies/` and `kuairec/` as Parquet. The same input and the same
pyarrow give the same bytes.
"""

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# Plots are kept in full up to this many characters, cut at a word beyond it.
PLOT_CHARACTERS_MAX = 2_000
# The billing order says who matters; a long cast would only fill the file.
CAST_MAX = 8
# A page about a film says in its first sentences who directed it.
NAME_WORD = (
    r"(?:(?:[A-Z]\.)+|[A-Z][\w’-]*(?:'[A-Z][\w-]+)?|"
    r"(?:de|del|della|di|da|van|von|der|den|la|le|du)\b)"
)
DIRECTED_BY = re.compile(
    rf"directed(?:,? and [a-z-]+|, [a-z-]+)* by (?!The\b)({NAME_WORD}(?: {NAME_WORD}){{1,4}})(?!'s)"
)
ARTICLES = "the|a|an|la|le|les|l'|il|lo|gli|i|el|los|las|der|die|das|ein|eine|un|une|uno|o|os|as|den|det|en"
TAIL_ARTICLE = re.compile(rf"^(.*), ({ARTICLES})$", re.IGNORECASE)
HEAD_ARTICLE = re.compile(rf"^(?:(?:{ARTICLES})\s+|l')", re.IGNORECASE)
YEAR = re.compile(r"\s*\((\d{4})(?:[–-]\d{0,4})?\)\s*$")
BRACKET = re.compile(r"\s*\(([^()]*)\)\s*$")


def flip(title):
    """`Matrix, The` as people say it."""
    found = TAIL_ARTICLE.match(title.strip())
    if not found:
        return title.strip()
    rest, article = found.groups()
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{rest}"


def take_apart(raw):
    """`Seven (a.k.a. Se7en) (1995)` as title, other titles, year."""
    raw = raw.strip()
    year = YEAR.search(raw)
    title = raw[: year.start()] if year else raw
    others = []
    while (bracket := BRACKET.search(title)) and bracket.start() > 0:
        inside = re.sub(r"^(a\.?k\.?a\.?|also known as)\s*", "", bracket.group(1), flags=re.IGNORECASE)
        others.insert(0, flip(inside))
        title = title[: bracket.start()]
    others = [other for other in others if other]
    return flip(title), others, int(year.group(1)) if year else None


def key(title):
    """What two spellings of one title share: no case, accents, punctuation, leading article."""
    title = re.sub(r"\.mw-parser-output.*?\}(?=\d|:)", " ", title)
    title = unicodedata.normalize("NFKD", title.replace("&", " and ").replace("⁄", "/"))
    title = "".join(c for c in title if not unicodedata.combining(c)).lower().strip()
    bare = HEAD_ARTICLE.sub("", flip(title), count=1)
    return "".join(c for c in (bare or title) if c.isalnum())


def pages(rows):
    """Films of the encyclopedia by key and year; a page is known by its heading, its link, and each bracket."""
    by_key = defaultdict(lambda: defaultdict(list))
    for at, row in enumerate(rows):
        names = {row["title"]}
        if row["href"]:
            names.add(re.sub(r"%27", "'", row["href"]).replace("_", " "))
        for name in list(names):
            title, others, _ = take_apart(name)
            names.add(title)
            names.update(other for other in others if not re.search(r"\bfilm\b|\bserial\b|release|TV", other))
        for name in names:
            if key(name):
                by_key[key(name)][row["year"]].append(at)
    return by_key


def best(rows, candidates):
    """The page with the longest text; ties go to the first."""
    return max(candidates, key=lambda at: (len(rows[at]["extract"] or ""), -at))


def spellings(film):
    """The titles a film may go by; `Star Wars: Episode V - The Empire Strikes Back` by its parts too."""
    titles = [film["title"], *film["others"]]
    if " - " in film["title"]:
        titles.append(film["title"].split(" - ", 1)[1])
    if episode := re.match(r"(.+): Episode [IVX]+ - (.+)", film["title"]):
        titles += [f"{episode.group(1)}: {episode.group(2)}", episode.group(1)]
    return titles


def join(films, rows):
    by_key = pages(rows)
    joined = {}
    for film in films:
        keys = [k for k in dict.fromkeys(key(name) for name in spellings(film)) if k]
        year = film["year"]
        if year is None:
            continue
        found = next((by_key[k][year] for k in keys if k in by_key and year in by_key[k]), None)
        if not found:
            # One year off is common (festival against release), but only where nothing else could be meant.
            near = [at for k in keys if k in by_key for y in (year - 1, year + 1) for at in by_key[k].get(y, [])]
            found = near if len({rows[at]["href"] or at for at in near}) == 1 else None
        if found:
            joined[film["id"]] = best(rows, dict.fromkeys(found))
    return joined


def plain(text):
    return re.sub(r"\s+", " ", text or "").strip()


def cut(text, most):
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"


def write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=19, use_dictionary=True, version="2.6")
    print(f"{path}: {table.num_rows} rows, {path.stat().st_size} bytes")


def movies(source, out):
    raw = source / "ml-latest-small"
    ratings = pq.read_table(raw / "ratings.parquet")
    user = ratings["userId"].cast(pa.int32())
    film_id = ratings["movieId"].cast(pa.int32())
    write(
        pa.table(
            {
                "user_id": user,
                "movie_id": film_id,
                "rating": ratings["rating"].cast(pa.float32()),
                "timestamp": ratings["timestamp"],
            }
        ),
        out / "movies" / "ratings.parquet",
    )

    tags = defaultdict(Counter)
    for row in pq.read_table(raw / "tags.parquet").to_pylist():
        tags[row["movieId"]][plain(row["tag"]).lower()] += 1
    films = []
    for row in pq.read_table(raw / "movies.parquet").to_pylist():
        title, others, year = take_apart(row["title"])
        genres = [g for g in row["genres"].split("|") if g != "(no genres listed)"]
        films.append({"id": row["movieId"], "title": title, "others": others, "year": year, "genres": genres})

    rows = pq.read_table(source / "wikipedia-movies" / "movies.parquet").to_pylist()
    joined = join(films, rows)
    columns = defaultdict(list)
    cut_plots = 0
    for film in films:
        page = rows[joined[film["id"]]] if film["id"] in joined else {}
        text = plain(page.get("extract"))
        cut_plots += len(text) > PLOT_CHARACTERS_MAX
        director = DIRECTED_BY.search(text[:600])
        # A bracket such as `(as voices)` is a remark in the source, not a person.
        cast = [plain(name) for name in page.get("cast") or [] if not name.startswith("(")]
        columns["movie_id"].append(film["id"])
        columns["title"].append(film["title"])
        columns["also_known_as"].append(film["others"])
        columns["year"].append(film["year"])
        columns["genres"].append(film["genres"])
        columns["tags"].append([tag for tag, _ in sorted(tags[film["id"]].items(), key=lambda t: (-t[1], t[0]))])
        columns["director"].append(director.group(1) if director else None)
        columns["cast"].append(list(dict.fromkeys(name for name in cast if name))[:CAST_MAX])
        columns["plot"].append(cut(text, PLOT_CHARACTERS_MAX) or None)
        columns["wikipedia"].append(page.get("href"))
    strings = pa.list_(pa.string())
    schema = pa.schema(
        [
            ("movie_id", pa.int32()),
            ("title", pa.string()),
            ("also_known_as", strings),
            ("year", pa.int16()),
            ("genres", strings),
            ("tags", strings),
            ("director", pa.string()),
            ("cast", strings),
            ("plot", pa.string()),
            ("wikipedia", pa.string()),
        ]
    )
    write(pa.table(dict(columns), schema=schema), out / "movies" / "videos.parquet")

    rated = Counter(film_id.to_pylist())
    covered = sum(n for film, n in rated.items() if film in joined)
    told = sum(1 for plot in columns["plot"] if plot)
    print(f"  {len(joined)} of {len(films)} films join, {100 * covered / sum(rated.values()):.1f} % of ratings")
    print(f"  {told} have a plot ({cut_plots} cut at {PLOT_CHARACTERS_MAX} characters), ", end="")
    print(f"{sum(1 for d in columns['director'] if d)} a director, {sum(1 for c in columns['cast'] if c)} a cast")


def kuairec(source, out):
    raw, out = source / "kuairec", out / "kuairec"
    sample = pq.read_table(raw / "small_matrix_sample83.parquet")
    # A ratio needs no more than a float; it halves the file.
    ratio = sample["watch_ratio"].cast(pa.float32())
    write(sample.set_column(2, "watch_ratio", ratio), out / "small_matrix_sample83.parquet")
    write(
        pq.read_table(raw / "small_matrix_last20pct_positives.parquet"),
        out / "small_matrix_last20pct_positives.parquet",
    )
    captions = pq.read_table(raw / "caption_category.parquet")
    fields = [
        pa.field(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in captions.schema
    ]
    write(captions.cast(pa.schema(fields)), out / "caption_category.parquet")
    tags = pq.read_table(raw / "item_categories.parquet")
    write(
        tags.cast(pa.schema([("video_id", pa.int32()), ("feat", pa.list_(pa.int16()))])),
        out / "item_categories.parquet",
    )
    users = pq.read_table(raw / "user_features.parquet")
    fields = [
        pa.field(f.name, pa.string() if pa.types.is_large_string(f.type) else pa.int32()) for f in users.schema
    ]
    write(users.cast(pa.schema(fields)), out / "user_features.parquet")


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SOURCE OUT")
    source, out = map(Path, sys.argv[1:])
    movies(source, out)
    kuairec(source, out)


if __name__ == "__main__":
    main()
