"""A table that one guest publishes and another opens and sums, and what the sum must be."""

ROWS = 50_000


def files(lab):
    """The table as a CSV file, for a guest."""
    path = lab.work / "orders.csv"
    if not path.exists():
        path.write_text("id,amount,customer\n" + "".join(f"{n},{n % 1000},customer {n % 97}\n" for n in range(ROWS)))
    return {"tmp/orders.csv": path}


def pass_on(writer, there, reader, here, name="orders"):
    """`writer` publishes at its URI, `reader` waits for it at its own, opens it and sums every column; it must have got
    exactly what was published, and its lease must be gone when it has ended."""
    writer.run(f"csm put '{there}' {name} /tmp/orders.csv", expect=[f"{ROWS}"])
    reader.run(f"csm wait '{here}' {name}")
    ids, amounts, letters = sum(range(ROWS)), sum(n % 1000 for n in range(ROWS)), sum(
        len(f"customer {n % 97}") for n in range(ROWS))
    reader.run(f"csm cat '{here}' {name} --format csv | awk -F, 'NR > 1 {{ i += $1; a += $2; l += length($3) }} "
               "END { printf \"%d rows, sums %d, %d, %d\\n\", NR - 1, i, a, l }'",
               expect=[f"{ROWS} rows, sums {ids}, {amounts}, {letters}"])
    writer.run(f"csm stat '{there}'", expect=["leases   0"])


def conformance(guest, window, mib, only=""):
    """The conformance suite on the window of one guest."""
    text = guest.run(f"CSM_TEST_WINDOW='{window}' CSM_TEST_WINDOW_MIB={mib} conformance-file {only}", timeout=600,
                     expect=["test result: ok."])
    return next(line for line in text.splitlines() if line.startswith("test result"))
