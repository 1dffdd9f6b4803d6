"""A million vectors of 256 numbers from words: windows of plots, titles and captions, by TF-IDF and its strongest directions. Windows
overlap, as clips of one video do. Queries are windows at other places. usage: windows.py DATA OUT_BASE OUT_QUERIES N"""
import pathlib, sys
import numpy as np, pyarrow.parquet as pq
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils.extmath import randomized_svd

data, base_path, queries_path, n = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
N_QUERIES, WINDOW, DIM, WORDS = 1000, 24, 256, 40_000
texts = []
for name in ["wikipedia-movies", "ml-1m", "tmdb5000", "microlens", "kuairec", "ml-25m-catalogue"]:
    for file in sorted((data / name).glob("*.parquet")):
        table = pq.read_table(file)
        for column in table.column_names:
            if str(table.schema.field(column).type) in ("string", "large_string"):
                texts += [t for t in table[column].to_pylist() if t and len(t) > 20]
texts = sorted(set(texts))
vectorizer = CountVectorizer(max_features=WORDS, token_pattern=r"\w\w+", stop_words="english")
vectorizer.fit(texts)
analyse, vocabulary = vectorizer.build_analyzer(), vectorizer.vocabulary_
# One long stream of word numbers, texts one after another.
stream = np.concatenate([np.array([vocabulary[w] for w in analyse(t) if w in vocabulary], np.int32) for t in texts])
total = n + N_QUERIES
starts = np.linspace(0, len(stream) - WINDOW - 1, total).astype(np.int64)
print(f"{len(texts)} texts, {len(stream)} words, a window every {len(stream) / total:.1f}", file=sys.stderr)
frequency = np.bincount(stream, minlength=len(vocabulary)) + 1
weight = np.log(len(stream) / frequency).astype(np.float32)


def sparse(starts):
    columns = stream[starts[:, None] + np.arange(WINDOW)].ravel()
    rows = csr_matrix((weight[columns], columns, np.arange(len(starts) + 1) * WINDOW), shape=(len(starts), len(vocabulary)))
    rows.sum_duplicates()
    return rows


rng = np.random.default_rng(1)
_, _, directions = randomized_svd(sparse(rng.choice(starts, 100_000, replace=False)), DIM, n_iter=3, random_state=1)
vectors = np.concatenate([np.asarray(sparse(part) @ directions.T, np.float32) for part in np.array_split(starts, 50)])
vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
is_query = np.zeros(total, bool)
is_query[rng.choice(total, N_QUERIES, replace=False)] = True
vectors[~is_query].astype(np.float32).tofile(base_path)
vectors[is_query].astype(np.float32).tofile(queries_path)
