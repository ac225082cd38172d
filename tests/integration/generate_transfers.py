"""Makes a file of token transfers as ethereum-etl writes them, with all that makes such files hard to take.

    generate_transfers.py FILE [ROWS [SEED]]

Mints and burns (the zero address), transfers to oneself, zero values, values beyond 2^64, and senders that
have more than the file has shown; and rows that nobody can take: values beyond 2^128, sums beyond it, short
rows, long rows, and rows that are there twice. The same seed gives the same file.
"""
import random
import sys

HEADER = "token_address,from_address,to_address,value,transaction_hash,log_index,block_number"
ZERO = "0x" + 40 * "0"
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
DAI = "0x6b175474e89094c44da98b954eedeac495271d0f"
OTHER = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
UNIT = {USDT: 10 ** 6, USDC: 10 ** 6, DAI: 10 ** 18, OTHER: 10 ** 18}


def hexadecimal(rng, digits):
    return "0x" + "".join(rng.choice("0123456789abcdef") for _ in range(digits))


def parties(rng, accounts):
    dice = rng.random()
    one, other = rng.sample(accounts, 2)
    if dice < 0.12:
        return ZERO, other
    if dice < 0.2:
        return one, ZERO
    if dice < 0.22:
        return one, one
    return one, other


def value_of(rng, contract):
    dice = rng.random()
    if dice < 0.02:
        return 0
    if dice < 0.03 and contract == DAI:
        return rng.randint(2 ** 64, 2 ** 80)
    return rng.randint(1, 5000 * UNIT[contract])


def bad_row(rng, row):
    """A row that cannot be taken, made from one that could."""
    contract, sender, receiver, value, transaction, index, block = row
    return rng.choice((
        (contract, sender, receiver, str(2 ** 128), transaction, index, block),
        (contract, sender, receiver, str(rng.randint(2 ** 128, 2 ** 256 - 1)), transaction, index, block),
        (USDT, ZERO, sender, str(2 ** 128 - 1), transaction, index, block),  # its collateral would not fit
        (contract, sender, receiver),
        (contract,),
        (*row, "0"),
        (contract, sender[:-1], receiver, value, transaction, index, block),
        (contract, sender, receiver, "-" + value, transaction, index, block),
        (contract, sender, receiver, "12x", transaction, index, block),
        (contract, sender, receiver, "", transaction, index, block)))


def rows_of(rng, count):
    accounts = [hexadecimal(rng, 40) for _ in range(max(20, count // 20))]
    previous = None
    for place in range(count):
        contract = rng.choices((USDT, USDC, DAI, OTHER), (5, 3, 3, 1))[0]
        sender, receiver = parties(rng, accounts)
        row = (contract, sender, receiver, str(value_of(rng, contract)), hexadecimal(rng, 64),
               str(rng.randint(0, 300)), str(12600000 + place // 40))
        dice = rng.random()
        if dice < 0.01 and contract != OTHER:
            yield bad_row(rng, row)
        elif dice < 0.013 and previous:
            yield previous
        else:
            yield row
            previous = row


def generate(path, count=2000, seed=1):
    with open(path, "w") as out:
        out.write(HEADER + "\n")
        for row in rows_of(random.Random(seed), count):
            out.write(",".join(row) + "\n")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    generate(sys.argv[1], *map(int, sys.argv[2:]))
