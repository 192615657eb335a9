/**
 * A ring buffer, bounded in cells and bytes.
 *
 * @module
 */

/** How much a ring holds, whichever is less. */
export interface RingLimits {
  /** Cells. */
  readonly count: number;
  /** Bytes of payload. One larger cell is held all the same, alone. */
  readonly bytes: number;
}

/**
 * The newest cells of a sequence, numbered from 1. It grows on demand, so a
 * quiet channel costs next to nothing, and evicts the oldest at its limits.
 *
 * @typeParam Cell What it holds.
 */
export class Ring<Cell> {
  /** The number of the oldest cell it holds; equals `head` if it holds none. */
  oldest = 1;
  /** The number that the next cell will have. */
  head = 1;
  /** What it may hold. */
  readonly limits: RingLimits;
  #cells: (Cell | undefined)[] = new Array(8);
  #sizes: number[] = new Array(8).fill(0);
  #mask = 7;
  #bytes = 0;

  /** @param limits What it may hold. */
  constructor(limits: RingLimits) {
    this.limits = limits;
  }

  /** Adds a cell of so many bytes, and evicts what the limits demand. */
  push(cell: Cell, bytes: number): void {
    while (
      this.head > this.oldest &&
      (this.head - this.oldest >= this.limits.count || this.#bytes + bytes > this.limits.bytes)
    ) this.shift();
    if (this.head - this.oldest > this.#mask) this.#grow();
    const place = this.head++ & this.#mask;
    this.#cells[place] = cell;
    this.#sizes[place] = bytes;
    this.#bytes += bytes;
  }

  /** The cell of a number from `oldest` up to, not including, `head`. */
  at(number: number): Cell {
    return this.#cells[number & this.#mask]!;
  }

  /** Takes the oldest cell out. */
  shift(): Cell {
    const place = this.oldest++ & this.#mask;
    const cell = this.#cells[place]!;
    this.#bytes -= this.#sizes[place]!;
    this.#cells[place] = undefined;
    return cell;
  }

  #grow(): void {
    const { length } = this.#cells;
    const cells = new Array<Cell | undefined>(length * 2);
    const sizes = new Array<number>(length * 2).fill(0);
    const mask = length * 2 - 1;
    for (let number = this.oldest; number < this.head; number++) {
      cells[number & mask] = this.#cells[number & this.#mask];
      sizes[number & mask] = this.#sizes[number & this.#mask]!;
    }
    this.#cells = cells;
    this.#sizes = sizes;
    this.#mask = mask;
  }
}
