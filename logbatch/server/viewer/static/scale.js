/**
 * How the scroll bar stands for rows.
 *
 * Browsers cap the height of an element.  Where the rows would be taller, the middle of the bar is
 * scaled; at both ends, where one reads most, a pixel of the bar stays a pixel of rows.
 */

const TALLEST = 8_000_000; // pixels
const END = 1_000_000; // pixels at each end that are not scaled

export class Bar {
  /**
   * @param {number} tall pixels of all rows
   * @param {number} window pixels of those that are visible
   */
  constructor(tall, window) {
    /** Pixels of what the browser scrolls. */
    this.height = Math.min(tall, TALLEST);
    this.real = Math.max(0, tall - window);
    this.range = Math.max(0, this.height - window);
    this.scale = tall > TALLEST ? (this.real - 2 * END) / (this.range - 2 * END) : 1;
  }

  /** Whether the bar moves more than a pixel for a pixel there. @param {number} at */
  isScaledAt(at) {
    return this.scale !== 1 && at > END && at < this.range - END;
  }

  /** The pixels of rows above the window. @param {number} at where the bar stands @returns {number} */
  toPixels(at) {
    if (this.scale === 1 || at <= END) return at;
    if (at >= this.range - END) return this.real - (this.range - at);
    return END + (at - END) * this.scale;
  }

  /** Where the bar stands. @param {number} pixels of rows above the window @returns {number} */
  fromPixels(pixels) {
    if (this.scale === 1 || pixels <= END) return pixels;
    if (pixels >= this.real - END) return this.range - (this.real - pixels);
    return END + (pixels - END) / this.scale;
  }
}
