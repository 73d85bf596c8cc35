/* Thousands of marks, one for each image, coloured by class. */

/** @import { Pen } from "./types" */

const SLICES = 8;

/**
 * Marks of one class share a path, since single ones would cost three times as much; but only every eighth, since marks
 * of one path melt together where they overlap, and would hide how dense it is.
 * @param {Pen} pen
 * @param {ArrayLike<number>} rows the images, or -1 for none
 * @param {ArrayLike<number>} klass of every image
 * @param {string[]} colours of the classes
 * @param {(i: number) => void} mark adds the mark of an image to the path
 * @param {(colour: string) => void} ink draws the path
 */
export function drawMarks(pen, rows, klass, colours, mark, ink) {
  for (let slice = 0; slice < SLICES; slice++) {
    colours.forEach((colour, c) => {
      let any = false;
      pen.beginPath();
      for (let k = slice; k < rows.length; k += SLICES) {
        const i = rows[k];
        if (i < 0 || klass[i] !== c) continue;
        any = true;
        mark(i);
      }
      if (any) ink(colour);
    });
  }
}

/** @param {Pen} pen @param {number} x @param {number} y @param {number} radius */
export function dot(pen, x, y, radius) {
  pen.moveTo(x + radius, y);
  pen.arc(x, y, radius, 0, 2 * Math.PI);
}

/** @param {Pen} pen @param {number} x @param {number} y @param {number} arm */
export function cross(pen, x, y, arm) {
  pen.moveTo(x - arm, y - arm);
  pen.lineTo(x + arm, y + arm);
  pen.moveTo(x - arm, y + arm);
  pen.lineTo(x + arm, y - arm);
}

/** @param {Pen} pen @param {string} colour */
export function fill(pen, colour) {
  pen.fillStyle = colour;
  pen.fill();
}

/** @param {Pen} pen @param {string} colour @param {number} width */
export function stroke(pen, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
}
