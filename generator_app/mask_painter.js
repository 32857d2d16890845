// The mask has the picture's size: opaque, and transparent where it is painted.
const painters = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  const known = painters.get(parentElement);
  if (known?.picture === data.picture) return;

  const canvas = parentElement.querySelector("canvas");
  const [range, clear] = ["input", "button"].map((tag) => parentElement.querySelector(tag));
  const told = parentElement.querySelector("output");
  told.textContent = "";
  const { width, height } = data;
  Object.assign(canvas, { width, height });
  canvas.setAttribute("aria-label", "The picture, and on it the mask");
  const mask = new OffscreenCanvas(width, height).getContext("2d");
  const screen = canvas.getContext("2d");
  const picture = new Image();
  const brush = { x: width / 2, y: height / 2, shown: false };
  let painted = false;
  let down = false;

  function show() {
    screen.clearRect(0, 0, width, height);
    screen.globalAlpha = 1;
    screen.drawImage(picture, 0, 0, width, height);
    screen.globalAlpha = 0.6;
    screen.drawImage(mask.canvas, 0, 0);
    screen.globalAlpha = 1;
    if (!brush.shown) return;
    for (const [colour, wide] of [["#000", 4], ["#fff", 2]]) {
      screen.strokeStyle = colour;
      screen.lineWidth = (wide * width) / Math.max(1, canvas.clientWidth);
      screen.beginPath();
      screen.arc(brush.x, brush.y, radius(), 0, 2 * Math.PI);
      screen.stroke();
    }
  }

  const radius = () => (Math.min(width, height) * range.value) / 200;

  function stroke(x, y) {
    mask.strokeStyle = mask.fillStyle = "#e6007a";
    mask.lineCap = "round";
    mask.lineWidth = 2 * radius();
    mask.beginPath();
    mask.moveTo(brush.x, brush.y);
    mask.lineTo(x, y);
    mask.stroke();
    // A line of no length is not drawn.
    mask.beginPath();
    mask.arc(x, y, radius(), 0, 2 * Math.PI);
    mask.fill();
    Object.assign(brush, { x, y });
    painted = true;
  }

  function say(file, words) {
    setStateValue("mask", file);
    told.textContent = words;
  }

  async function tell() {
    show();
    if (!painted) return say("", "No mask: all of it is drawn anew.");
    const whole = new OffscreenCanvas(width, height);
    const file = whole.getContext("2d");
    file.fillRect(0, 0, width, height);
    file.globalCompositeOperation = "destination-out";
    file.drawImage(hard(), 0, 0);
    const reader = new FileReader();
    // Unless it was cleared meanwhile.
    reader.onload = () => painted && say(reader.result, "The mask is painted.");
    reader.readAsDataURL(await whole.convertToBlob());
  }

  // A stroke's soft rim would be neither drawn anew nor kept.
  function hard() {
    const pixels = mask.getImageData(0, 0, width, height);
    for (let at = 3; at < pixels.data.length; at += 4) if (pixels.data[at]) pixels.data[at] = 255;
    const copy = new OffscreenCanvas(width, height);
    copy.getContext("2d").putImageData(pixels, 0, 0);
    return copy;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * width) / box.width,
      ((event.clientY - box.top) * height) / box.height,
    ];
  }

  function wipe() {
    mask.clearRect(0, 0, width, height);
    painted = false;
    tell();
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    const [x, y] = place(event);
    Object.assign(brush, { x, y });
    down = true;
    stroke(x, y);
    show();
  };
  canvas.onpointermove = (event) => {
    const [x, y] = place(event);
    if (down) stroke(x, y);
    Object.assign(brush, { x, y, shown: true });
    show();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (down) tell();
    down = false;
  };
  canvas.onpointerleave = canvas.onblur = () => {
    brush.shown = false;
    show();
  };
  canvas.onfocus = () => {
    brush.shown = true;
    show();
  };
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.onkeydown = (event) => {
    const move = moves[event.key];
    if (move) {
      const far = Math.min(width, height) / 32;
      brush.x = Math.min(width, Math.max(0, brush.x + move[0] * far));
      brush.y = Math.min(height, Math.max(0, brush.y + move[1] * far));
      brush.shown = true;
      show();
    } else if (event.key === " ") {
      stroke(brush.x, brush.y);
      tell();
    } else if (event.key === "Escape") {
      wipe();
    } else return;
    event.preventDefault();
  };
  clear.onclick = wipe;
  picture.onload = show;
  picture.src = data.picture;
  painters.set(parentElement, { picture: data.picture });
}
