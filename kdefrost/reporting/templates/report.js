const numbers = document.querySelector("#numbers");
const circles = document.querySelectorAll(".points circle");
const show = (circle) => {
  circles.forEach((other) => other.classList.toggle("chosen", other === circle));
  numbers.textContent = circle.querySelector("title").textContent;
};
// Hovering is not for fingers: those touch.
circles.forEach((circle) => ["pointerenter", "click"].forEach((event) => circle.addEventListener(event, () => show(circle))));
