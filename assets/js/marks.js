/* The checks of a verdict as one row of small buttons: shape and colour say what each one found, a press opens the page
 * that explains it. One element, for nine of Streamlit's own links take a third of a second to draw.
 */

/**
 * @typedef {"passes" | "fails" | "cannot tell here" | "not made yet"} Status
 * @typedef {{ title: string, status: Status, said: string, page: string }} Mark
 */

/** @type {Record<Status, [string, string]>} */
const SIGNS = {
  passes: ["✓", "--st-green-text-color"],
  fails: ["✕", "--st-red-text-color"],
  "cannot tell here": ["?", "--st-gray-text-color"],
  "not made yet": ["○", "--st-gray-text-color"],
};

/** @param {import("./types").Component<{ marks: Mark[] }>} component */
export default function ({ parentElement, data, setTriggerValue }) {
  const row = parentElement.querySelector(".lacuna-marks");
  row?.replaceChildren(...data.marks.map(({ title, status, said, page }) => {
    const [sign, colour] = SIGNS[status];
    const button = document.createElement("button");
    button.style.setProperty("--sign", `var(${colour})`);
    button.dataset.status = status;
    button.title = `${status[0].toUpperCase()}${status.slice(1)}. ${said}`;
    button.setAttribute("aria-label", `${title}: ${status}. ${said}`);
    const mark = document.createElement("b");
    mark.textContent = sign;
    button.append(mark, title);
    button.onclick = () => setTriggerValue("page", page);
    return button;
  }));
}
