// What is said about the model, in a sheet that its buttons open.

const dialog = document.getElementById("model-dialog");

for (const name of ["about-model", "how-real"]) {
  document.getElementById(name)?.addEventListener("click", () => dialog.showModal());
}

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // the veil
});
