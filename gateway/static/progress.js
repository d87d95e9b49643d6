// How far the interview has come, in words and as a bar.

export function progress(words, bar, { currentQuestion, totalQuestions, isComplete }) {
  words.textContent = isComplete
    ? "All questions answered"
    : `Question ${Math.max(1, currentQuestion)} of ${totalQuestions}`;
  bar.max = totalQuestions;
  bar.value = isComplete ? totalQuestions : Math.max(0, currentQuestion - 1);
}
