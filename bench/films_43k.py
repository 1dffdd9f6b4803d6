#!/usr/bin/env python3
"""Composes a catalogue of 43,115 films, the size of the movie design's, with 99,561 ratings, out of public sets that are not
bundled, in the shape of data/movies: `upnext eval FOLDER` reads it.

    python3 bench/films_43k.py SOURCE FOLDER

SOURCE holds `the-movies-dataset/{ratings_small,links,keywords}.parquet`, `ml-25m-catalogue/movies.parquet`,
`wikipedia-movies/movies.parquet` and `tmdb5000/movies.parquet`. A film is one of MovieLens 25M that the links know too; its tags
are the keywords; its plot is the opening of a Wikipedia article, joined as for data/movies, else TMDB's overview. Needs pyarrow."""
import ast, pathlib, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "data"))
import make  # noqa: E402  (the joins of the bundled set)
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SOURCE FOLDER")
    source, out = map(pathlib.Path, sys.argv[1:])

    def rows(name):
        return pq.read_table(source / f"{name}.parquet").to_pylist()

    tmdb_of = {row["movieId"]: row["tmdbId"] for row in rows("the-movies-dataset/links")}
    keywords = {row["id"]: [k["name"] for k in ast.literal_eval(row["keywords"])] for row in rows("the-movies-dataset/keywords")}
    overviews = {int(row["id"]): row["overview"] for row in rows("tmdb5000/movies")}
    films = []
    for row in rows("ml-25m-catalogue/movies"):
        if row["movieId"] not in tmdb_of:
            continue
        tmdb = tmdb_of[row["movieId"]]
        title, others, year = make.take_apart(row["title"])
        genres = [g for g in row["genres"].split("|") if g != "(no genres listed)"]
        films.append({"id": row["movieId"], "tmdb": tmdb, "title": title, "others": others, "year": year, "genres": genres})
    pages = rows("wikipedia-movies/movies")
    joined = make.join(films, pages)
    videos, told = [], 0
    for film in films:
        page = pages[joined[film["id"]]] if film["id"] in joined else {}
        text = make.plain(page.get("extract")) or make.plain(overviews.get(film["tmdb"]))
        director = make.DIRECTED_BY.search(text[:600])
        cast = [make.plain(name) for name in page.get("cast") or [] if not name.startswith("(")]
        told += bool(text)
        videos.append({
            "movie_id": film["id"], "title": film["title"], "year": film["year"], "genres": film["genres"],
            "tags": keywords.get(film["tmdb"], []), "director": director.group(1) if director else None,
            "cast": list(dict.fromkeys(name for name in cast if name))[: make.CAST_MAX],
            "plot": make.cut(text, make.PLOT_CHARACTERS_MAX) or None,
        })
    known = {video["movie_id"] for video in videos}
    ratings = [row for row in rows("the-movies-dataset/ratings_small") if row["movieId"] in known]
    strings = pa.list_(pa.string())
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(videos, schema=pa.schema([
        ("movie_id", pa.int32()), ("title", pa.string()), ("year", pa.int16()), ("genres", strings), ("tags", strings),
        ("director", pa.string()), ("cast", strings), ("plot", pa.string()),
    ])), out / "videos.parquet")
    pq.write_table(pa.table({
        "user_id": [row["userId"] for row in ratings], "movie_id": [row["movieId"] for row in ratings],
        "rating": [row["rating"] for row in ratings], "timestamp": [row["timestamp"] for row in ratings],
    }), out / "ratings.parquet")
    print(f"{len(videos)} films, {told} with a plot, {sum(bool(v['tags']) for v in videos)} with keywords, {len(ratings)} ratings")


main()
