//! The admission webhook: definitions and pods are judged by the code that the nodes plan with, when they are written.
