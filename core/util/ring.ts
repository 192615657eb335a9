/**
 * A ring buffer, bounded in cells and bytes.
 *
 * @module
 */

/** Limits of a ring. The limit that is reached first applies. */
export interface RingLimits {
  /** The number of cells. */
  readonly count: number;
  /** The payload in bytes. A larger cell is kept as the only one. */
  readonly bytes: number;
}

/**
 * Holds the newest cells of a sequence, numbered from 1. It grows on demand, so a
 * quiet channel costs next to nothing. At its limits it evicts the oldest cells.
 *
 * @typeParam Cell The type of a cell.
 */
export class Ring<Cell> {
  /** The number of the oldest cell; equals `head` if the ring is empty. */
  oldest = 1;
  /** The number of the next cell. */
  head = 1;
  /** The limits. */
  readonly limits: RingLimits;
  #cells: (Cell | undefined)[] = new Array(8);
  #sizes: number[] = new Array(8).fill(0);
  #mask = 7;
  #bytes = 0;

  /** @param limits The limits. */
  constructor(limits: RingLimits) {
    this.limits = limits;
  }

  /** Adds a cell of the given size, and evicts the oldest cells that exceed the limits. */
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

  /** The sizes of all cells together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The cell with a number from `oldest` up to, but not including, `head`. */
  at(number: number): Cell {
    return this.#cells[number & this.#mask]!;
  }

  /** Removes and returns the oldest cell. */
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
