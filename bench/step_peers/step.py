"""Times a step of training: ours against PyTorch on a CPU at its best, interleaved in one run."""
import json, os, pathlib, statistics, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
QUICK = "--quick" in sys.argv
THREADS = min(2, os.cpu_count() or 1)


def python():
    """The environment with PyTorch, made where it is not there yet."""
    venv = ROOT / "bench" / ".venv" / "torch"
    path = venv / "bin" / "python"
    if not path.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    if subprocess.run([str(path), "-c", "import torch, numpy"], capture_output=True).returncode:
        subprocess.run([str(path), "-m", "pip", "install", "-q", "torch", "numpy"], check=True)
    return path


def measured(command, environment):
    """The JSON that a command prints, and the most memory it took, in MiB."""
    done = subprocess.run(["/usr/bin/env", "python3", "-c", WRAPPER, *command], env=environment, check=True, capture_output=True, text=True)
    *_, out, kib = done.stdout.strip().split("\n")
    return json.loads(out), int(kib) // 1024


WRAPPER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def bench(name, kind, optimisers):
    subprocess.run(["cargo", "build", "--release", "-q", "--workspace", "--example", "bench_step"], cwd=ROOT, check=True)
    binary, peer = str(ROOT / "target/release/examples/bench_step"), str(python())
    # A step of the towers takes seconds.
    epochs = "1" if QUICK or kind == "tower" else "3"
    modes, precisions = ["eager"] if QUICK else ["eager", "compile"], ["f32", "bf16"]
    variants = [(t, m, p, o) for o in optimisers for p in precisions for m in modes for t in ([THREADS] if QUICK else [1, THREADS])]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(THREADS))
    ours, ours_losses, ours_mb, rows = {}, {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([binary, "prepare", kind, folder], check=True)
        for threads, mode, precision, optimiser in variants:
            # Ours always on all threads, as exactly as the peer beside it.
            mine, ours_mb[precision] = measured([binary, kind, epochs, precision], environment)
            ours.setdefault(precision, []).extend(mine["milliseconds"])
            ours_losses[precision] = statistics.mean(mine["losses"][-8:])
            script = str(ROOT / "bench/step_peers/torch_steps.py")
            command = [peer, script, kind, folder, epochs, str(threads), mode, precision, optimiser]
            try:
                theirs, mb = measured(command, environment)
            except subprocess.CalledProcessError as error:
                print(f"PyTorch {threads} threads, {mode}, {precision}, {optimiser}: failed: {error.stderr[-300:]}", file=sys.stderr)
                continue
            # The first steps warm up.
            row = dict(threads=threads, mode=mode, precision=precision, optimiser=optimiser, mb=mb,
                       ms=statistics.median(theirs["milliseconds"][4:]), loss=statistics.mean(theirs["losses"][-8:]), version=theirs["version"])
            rows.append(row)
            print(f"ours {statistics.median(mine['milliseconds']):.1f} ms (loss {ours_losses[precision]:.3f}; {precision}), PyTorch {row['ms']:.1f} ms "
                  f"(loss {row['loss']:.3f}; {threads} threads, {mode}, {precision}, {optimiser}, {mb} MiB)", file=sys.stderr)
    # The best of each side, and the best in f32 of each.
    ours = {precision: statistics.median(times) for precision, times in ours.items()}
    mine = min(ours, key=ours.get)
    best = min(rows, key=lambda row: row["ms"])
    best_f32 = min((row for row in rows if row["precision"] == "f32"), key=lambda row: row["ms"])
    # Beginnings differ, so losses agree as well as those of two seeds do.
    same = abs(ours_losses[mine] / best["loss"] - 1) < 0.03
    variant = lambda row: {key: row[key] for key in ("threads", "mode", "precision", "optimiser")}
    print(json.dumps({
        "bench": name, "peer": f"PyTorch {best['version']}, best of {len(rows)}", "best": variant(best), "threads": THREADS,
        "precision": mine,
        "ours": round(ours[mine], 1), "theirs": round(best["ms"], 1), "unit": "ms a step", "ratio": round(best["ms"] / ours[mine], 2),
        "ratio_f32": round(best_f32["ms"] / ours["f32"], 2), "ours_f32": round(ours["f32"], 1), "theirs_f32": round(best_f32["ms"], 1),
        "ours_rss_mb": ours_mb[mine], "theirs_rss_mb": best["mb"],
        "ours_loss": round(ours_losses[mine], 3), "theirs_loss": round(best["loss"], 3), "same_result": same, "quick": QUICK,
    }))
