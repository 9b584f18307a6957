"""Who keeps the id over a restart: simulated people who walk, turn and stop at will in a room of four cameras."""

import numpy as np

from tests.test_resumption import restart
from tests.world import World, room, wanderers

WORLDS = 5
GAPS_S = (1.0, 2.0, 3.0, 5.0)


def main() -> None:
    print("six people in 10 m x 8 m; seconds between the last frame before and the first after")
    for gap_s in GAPS_S:
        total = np.zeros(3, int)
        for seed in range(WORLDS):
            walkers = wanderers(6, 25.0, np.random.default_rng(seed), stay_s=(25.0, 40.0))
            total += restart(World(room(4), walkers, seconds=30.0, seed=seed), 12.0, gap_s)
        kept, new, other = total.tolist()
        print(f"{gap_s:.0f} s: {kept} of {kept + new + other} keep their id, {new} get a new one, {other} another's")


if __name__ == "__main__":
    main()
